//! Subscriptions that end, and settlements that meet.

use super::{
    CANCEL, COMMIT, EXPIRE, FETCH, GROUP, JOIN, Named, OPEN, PUBLISH, PUBLISH_IN, SUBSCRIBE,
    handle, history, latest, settle_in,
};
use fanout_tests::op::{Expire, Op, Source};
use fanout_tests::reader::{Channel, LeaseLength};

pub(super) fn named() -> Vec<Named> {
    let delete = Op::Delete {
        channel: Channel::PubSub,
    };
    vec![
        (
            "what a subscription lags behind is owed to a deletion, too",
            history(&[PUBLISH_IN, SUBSCRIBE, COMMIT, delete]),
        ),
        (
            "a publisher that outlives a subscription owes to the next one",
            history(&[
                SUBSCRIBE, PUBLISH_IN, CANCEL, SUBSCRIBE, COMMIT, JOIN, FETCH, FETCH,
            ]),
        ),
        (
            "a publisher that outlives the last subscription owes to nobody",
            history(&[SUBSCRIBE, PUBLISH_IN, CANCEL, COMMIT, Op::Maintain]),
        ),
        (
            "receipts of an ended subscription are stale in the next one, and the other way round",
            history(&[
                SUBSCRIBE,
                JOIN,
                PUBLISH,
                FETCH,
                CANCEL,
                SUBSCRIBE,
                JOIN,
                PUBLISH,
                Op::Fetch {
                    member: 1,
                    limit: 1,
                },
                handle(Source::Past),
                Op::Handle {
                    member: 1,
                    source: Source::Past,
                    pick: latest(4),
                },
                Op::Extend {
                    member: 4,
                    source: Source::Past,
                    pick: latest(4),
                    by: LeaseLength::Short,
                },
            ]),
        ),
        (
            "a member of an ended subscription does not keep the next one alive",
            history(&[
                SUBSCRIBE,
                JOIN,
                CANCEL,
                SUBSCRIBE,
                EXPIRE,
                Op::Expire(Expire::Beyond),
                Op::Beat { member: 0 },
            ]),
        ),
        (
            "what is settled in a transaction cannot be settled again, accounted for or not",
            history(&[
                SUBSCRIBE,
                JOIN,
                PUBLISH,
                FETCH,
                OPEN,
                settle_in(Source::Hand),
                COMMIT,
                handle(Source::Past),
                OPEN,
                settle_in(Source::Past),
                COMMIT,
                FETCH,
                OPEN,
                settle_in(Source::Past),
                COMMIT,
            ]),
        ),
        (
            "a message that is delivered again while a transaction settles it is settled once",
            history(&[
                SUBSCRIBE,
                JOIN,
                JOIN,
                PUBLISH,
                FETCH,
                OPEN,
                settle_in(Source::Hand),
                EXPIRE,
                Op::Fetch {
                    member: 1,
                    limit: 5,
                },
                COMMIT,
                handle(Source::Past),
                FETCH,
            ]),
        ),
        (
            "a member that leaves gives back also what a transaction settles",
            history(&[
                SUBSCRIBE,
                JOIN,
                JOIN,
                PUBLISH,
                PUBLISH,
                Op::Fetch {
                    member: 0,
                    limit: 5,
                },
                OPEN,
                Op::SettleIn {
                    tx: 0,
                    reader: GROUP,
                    source: Source::Hand,
                    pick: latest(1),
                },
                Op::Leave { member: 0 },
                FETCH,
                COMMIT,
                handle(Source::Past),
            ]),
        ),
    ]
}
