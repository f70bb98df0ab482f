//! Failures, and what waits for them.

use super::{
    FETCH, JOIN, Named, PUBLISH, SUBSCRIBE, TICK, before_latest, failing, fetch, handle,
    handle_some, handled, latest, of_keys, of_one_key, publish,
};
use fanout_tests::handler::Handling;
use fanout_tests::op::Source;

pub(super) fn named() -> Vec<Named> {
    let (one_key, keys) = (publish(of_one_key(3)), publish(of_keys(3)));
    vec![
        (
            "what fails is set aside or holds its key up",
            failing(&[
                SUBSCRIBE,
                JOIN,
                JOIN,
                one_key.clone(),
                FETCH,
                handle(Source::Hand),
                fetch(1),
                TICK,
                TICK,
                TICK,
                TICK,
                fetch(0),
                handle(Source::Group),
            ]),
        ),
        (
            "what fails is set aside or holds other keys of its lane up",
            failing(&[
                SUBSCRIBE,
                JOIN,
                keys.clone(),
                FETCH,
                handle_some(Source::Hand, before_latest(2, 1)),
                handle(Source::Past),
                PUBLISH,
                FETCH,
                TICK,
                TICK,
                TICK,
                FETCH,
                handle(Source::Hand),
            ]),
        ),
        (
            "what comes before a failure in its lane stays in hand",
            failing(&[
                SUBSCRIBE,
                JOIN,
                keys.clone(),
                PUBLISH,
                FETCH,
                handle_some(Source::Hand, latest(1)),
                handle_some(Source::Hand, latest(3)),
                handle(Source::Hand),
            ]),
        ),
        (
            "what was in hand before two failures is waited for until both are due",
            failing(&[
                SUBSCRIBE,
                JOIN,
                keys.clone(),
                PUBLISH,
                FETCH,
                handle_some(Source::Hand, latest(1)),
                handle_some(Source::Hand, before_latest(2, 1)),
                FETCH,
                TICK,
                FETCH,
                TICK,
                FETCH,
                handle(Source::Hand),
                FETCH,
            ]),
        ),
        (
            "what fails for the last time makes way",
            handled(
                vec![Handling::Fail],
                &[
                    SUBSCRIBE,
                    JOIN,
                    one_key,
                    FETCH,
                    handle(Source::Hand),
                    TICK,
                    TICK,
                    TICK,
                    TICK,
                    FETCH,
                    handle(Source::Hand),
                    FETCH,
                    handle(Source::Hand),
                ],
            ),
        ),
    ]
}
