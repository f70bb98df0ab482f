//! Keys that transactions settle.

use super::{
    COMMIT, FETCH, JOIN, Named, OPEN, SUBSCRIBE, TICK, before_latest, failing, fetch, handle,
    handle_some, history, latest, of_keys, of_one_key, publish, settle_in, settle_some_in,
};
use fanout_tests::op::Source;

pub(super) fn named() -> Vec<Named> {
    let one_key = publish(of_one_key(2));
    vec![
        (
            "a transaction settles a key in order, together or one after the other",
            history(&[
                SUBSCRIBE,
                JOIN,
                one_key.clone(),
                one_key.clone(),
                FETCH,
                OPEN,
                settle_some_in(Source::Hand, before_latest(3, 1)),
                settle_some_in(Source::Hand, before_latest(1, 2)),
                settle_some_in(Source::Hand, latest(1)),
                COMMIT,
                handle(Source::Past),
                FETCH,
            ]),
        ),
        (
            "a transaction that settles out of order must be rolled back",
            history(&[
                SUBSCRIBE,
                JOIN,
                one_key.clone(),
                FETCH,
                OPEN,
                settle_some_in(Source::Hand, latest(1)),
                COMMIT,
                OPEN,
                settle_in(Source::Hand),
                COMMIT,
            ]),
        ),
        (
            "what a transaction settles holds its key up until the commit",
            history(&[
                SUBSCRIBE,
                JOIN,
                one_key.clone(),
                FETCH,
                OPEN,
                settle_some_in(Source::Hand, before_latest(1, 1)),
                handle_some(Source::Hand, latest(1)),
                COMMIT,
                handle_some(Source::Hand, latest(1)),
                FETCH,
            ]),
        ),
        (
            "what a lane waits for is settled by a transaction",
            failing(&[
                SUBSCRIBE,
                JOIN,
                JOIN,
                publish(of_keys(3)),
                fetch(0),
                OPEN,
                settle_some_in(Source::Hand, latest(2)),
                handle_some(Source::Hand, before_latest(2, 1)),
                COMMIT,
                TICK,
                TICK,
                TICK,
                fetch(1),
                handle(Source::Group),
            ]),
        ),
    ]
}
