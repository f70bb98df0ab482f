//! Positions: where subscriptions begin, and where they are moved.

use super::{
    CANCEL, COMMIT, FETCH, GROUP, JOIN, Named, OPEN, PUBLISH, PUBLISH_IN, SUBSCRIBE, TICK, failing,
    handle, handle_some, history, latest, of_keys, of_one_key, publish, seek, settle_in,
    subscribe_at,
};
use fanout_tests::op::{Op, Source, Start};
use fanout_tests::reader::{Channel, Reader};

pub(super) fn named() -> Vec<Named> {
    let mut named = starts();
    named.extend(seeks());
    named
}

fn starts() -> Vec<Named> {
    let begin = |starts: [Start; 3]| {
        let mut ops = vec![
            PUBLISH,
            publish(of_keys(3)),
            PUBLISH_IN,
            publish(of_one_key(2)),
        ];
        for (number, start) in (0..).zip(starts) {
            let reader = Reader::Group(number);
            ops.extend([subscribe_at(reader, start), Op::Join { reader }]);
        }
        ops.extend([COMMIT, PUBLISH, Op::Maintain, FETCH]);
        ops.push(handle(Source::Hand));
        history(&ops)
    };
    vec![
        (
            "a subscription begins at a message, which may be in the middle of a batch",
            begin([Start::Message(0), Start::Message(2), Start::Message(6)]),
        ),
        (
            "a subscription begins at a message that has not committed, or is beyond the last",
            begin([Start::Message(4), Start::Message(5), Start::Message(7)]),
        ),
        (
            "a subscription begins at the time of a message or right after it",
            begin([Start::Time(2), Start::After(2), Start::Time(4)]),
        ),
        (
            "a subscription begins at the beginning, or at a time that has not come",
            begin([Start::Beginning, Start::Time(7), Start::After(6)]),
        ),
        (
            "a subscription that begins anew in the past gets again what it has settled",
            history(&[
                SUBSCRIBE,
                JOIN,
                publish(of_one_key(2)),
                FETCH,
                handle(Source::Hand),
                CANCEL,
                subscribe_at(GROUP, Start::Beginning),
                JOIN,
                Op::Maintain,
                Op::Fetch {
                    member: 1,
                    limit: 5,
                },
                handle(Source::Past),
            ]),
        ),
        (
            "a start in the past of a live subscription moves nothing",
            history(&[
                SUBSCRIBE,
                JOIN,
                publish(of_one_key(2)),
                FETCH,
                handle(Source::Hand),
                subscribe_at(GROUP, Start::Beginning),
                FETCH,
            ]),
        ),
    ]
}

fn seeks() -> Vec<Named> {
    let consumed = |then: &[Op]| {
        let mut ops = vec![
            SUBSCRIBE,
            JOIN,
            publish(of_one_key(2)),
            FETCH,
            handle(Source::Hand),
            publish(of_keys(2)),
            FETCH,
        ];
        ops.extend(then.iter().cloned());
        ops
    };
    vec![
        (
            "a group that is moved back gets again what it has settled, and what it holds is stale",
            history(&consumed(&[
                seek(Start::Message(1)),
                handle(Source::Past),
                Op::Maintain,
                FETCH,
                handle(Source::Hand),
            ])),
        ),
        (
            "a group that is moved on skips what it has not settled",
            history(&consumed(&[
                PUBLISH_IN,
                seek(Start::Now),
                FETCH,
                COMMIT,
                PUBLISH,
                FETCH,
                handle(Source::Past),
            ])),
        ),
        (
            "a group is moved twice, there and back again",
            history(&consumed(&[
                seek(Start::Message(2)),
                FETCH,
                seek(Start::Beginning),
                FETCH,
                handle_some(Source::Hand, latest(2)),
                seek(Start::Message(3)),
                Op::Maintain,
                FETCH,
            ])),
        ),
        (
            "a paused group is moved and stays paused",
            history(&consumed(&[
                Op::Pause { reader: GROUP },
                seek(Start::Beginning),
                FETCH,
                Op::Resume { reader: GROUP },
                FETCH,
            ])),
        ),
        (
            "a group that has ended is not moved",
            history(&consumed(&[CANCEL, seek(Start::Beginning), FETCH])),
        ),
        (
            "what failed is forgotten when a group is moved",
            failing(&consumed(&[
                seek(Start::Beginning),
                FETCH,
                handle(Source::Hand),
                TICK,
                TICK,
                seek(Start::Message(0)),
                FETCH,
                handle(Source::Hand),
            ])),
        ),
        (
            "a transaction that settles what a group held before it was moved settles nothing",
            history(&consumed(&[
                OPEN,
                settle_in(Source::Hand),
                seek(Start::Beginning),
                FETCH,
                COMMIT,
                handle(Source::Hand),
                FETCH,
            ])),
        ),
        (
            "what a transaction has settled before a group is moved is settled",
            history(&consumed(&[
                OPEN,
                settle_in(Source::Hand),
                COMMIT,
                seek(Start::Now),
            ])),
        ),
        (
            "the consumers of a queue are moved, too",
            history(&[
                Op::Join {
                    reader: Reader::Queue,
                },
                Op::Publish {
                    channel: Channel::Queue,
                    batch: of_one_key(3),
                },
                FETCH,
                handle_some(Source::Hand, latest(2)),
                Op::Seek {
                    reader: Reader::Queue,
                    to: Start::Message(1),
                },
                handle(Source::Past),
                Op::Maintain,
                FETCH,
                handle(Source::Hand),
            ]),
        ),
    ]
}
