//! Keys in order, and hands that change.

use super::{
    COMMIT, FETCH, JOIN, Named, PUBLISH, SUBSCRIBE, TICK, before_latest, fetch, fetch_one, handle,
    handle_some, history, latest, of_keys, of_one_key, publish, publish_in,
};
use fanout_tests::op::{Expire, Op, Pick, Source, Tick};
use fanout_tests::reader::LeaseLength;

pub(super) fn named() -> Vec<Named> {
    let (one_key, keys) = (publish(of_one_key(3)), publish(of_keys(3)));
    vec![
        (
            "a key is in one hand, and comes in order",
            history(&[
                SUBSCRIBE,
                JOIN,
                JOIN,
                one_key.clone(),
                fetch_one(0),
                fetch(1),
                fetch(0),
                handle(Source::Group),
                fetch(1),
                handle(Source::Group),
            ]),
        ),
        (
            "the last of a key is refused until its turn comes, and the receipt stays good",
            history(&[
                SUBSCRIBE,
                JOIN,
                one_key.clone(),
                FETCH,
                handle_some(Source::Hand, latest(1)),
                handle_some(Source::Hand, latest(2)),
                handle_some(Source::Hand, before_latest(2, 1)),
                handle_some(
                    Source::Hand,
                    Pick {
                        from: 0,
                        count: 1,
                        twice: true,
                    },
                ),
                handle(Source::Hand),
            ]),
        ),
        (
            "a key is settled in one call, whatever order its receipts stand in",
            history(&[
                SUBSCRIBE,
                JOIN,
                one_key.clone(),
                FETCH,
                handle(Source::Hand),
            ]),
        ),
        (
            "publishers of a key that overlap are in either order, but in one",
            history(&[
                SUBSCRIBE,
                JOIN,
                JOIN,
                publish_in(of_one_key(2)),
                publish(of_one_key(1)),
                FETCH,
                COMMIT,
                publish(of_one_key(1)),
                fetch(1),
                FETCH,
                handle_some(Source::Group, latest(1)),
                handle_some(Source::Group, latest(2)),
                handle(Source::Group),
                handle(Source::Group),
            ]),
        ),
        (
            "whoever falls silent is relieved, and comes too late",
            history(&[
                SUBSCRIBE,
                JOIN,
                JOIN,
                one_key.clone(),
                keys.clone(),
                fetch(0),
                Op::Expire(Expire::FarBeyond),
                fetch(1),
                fetch(1),
                handle(Source::Past),
                Op::Handle {
                    member: 1,
                    source: Source::Hand,
                    pick: latest(4),
                },
            ]),
        ),
        (
            "whoever is gone is relieved",
            history(&[
                SUBSCRIBE,
                JOIN,
                keys.clone(),
                fetch(0),
                Op::Crash { member: 0 },
                JOIN,
                FETCH,
                Op::Expire(Expire::FarBeyond),
                FETCH,
                handle(Source::Hand),
            ]),
        ),
        (
            "what is held on to stays in hand when the rest of a lane runs out",
            history(&[
                SUBSCRIBE,
                JOIN,
                JOIN,
                one_key,
                keys,
                fetch(0),
                Op::Extend {
                    member: 0,
                    source: Source::Hand,
                    pick: latest(1),
                    by: LeaseLength::Short,
                },
                TICK,
                Op::Tick(Tick::Brink),
                PUBLISH,
                fetch(1),
                fetch(0),
                handle(Source::Past),
            ]),
        ),
    ]
}
