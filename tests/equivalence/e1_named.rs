//! Histories that chance seldom makes, on both engines.

use crate::acceptor::Checked;
use crate::handler::{Handler, Handling};
use crate::history::History;
use crate::op::{Batch, Expire, Op, Pick, Purpose, Source};
use crate::reader::{Channel, LeaseLength, Reader};
use crate::subject::{Postgres, on_memory};

const GROUP: Reader = Reader::Group(0);
const SUBSCRIBE: Op = Op::Subscribe {
    reader: GROUP,
    lease: LeaseLength::Long,
};
const JOIN: Op = Op::Join { reader: GROUP };
const ONE: Batch = Batch {
    messages: 1,
    key: None,
};
const PUBLISH: Op = Op::Publish {
    channel: Channel::PubSub,
    batch: ONE,
};
const PUBLISH_IN: Op = Op::PublishIn {
    tx: 0,
    channel: Channel::PubSub,
    batch: ONE,
};
const FETCH: Op = Op::Fetch {
    member: 0,
    limit: 5,
};
const COMMIT: Op = Op::Commit { tx: 0 };
const CANCEL: Op = Op::Cancel { reader: GROUP };
const EXPIRE: Op = Op::Expire(Expire::To);

/// The latest receipts.
const fn latest(count: u8) -> Pick {
    Pick {
        from: 0,
        count,
        twice: false,
    }
}

const fn handle(source: Source) -> Op {
    Op::Handle {
        member: 0,
        source,
        pick: latest(4),
    }
}

const fn settle_in(source: Source) -> Op {
    Op::SettleIn {
        tx: 0,
        reader: GROUP,
        source,
        pick: latest(4),
    }
}

/// All consumers handle at once, or in the end.
fn history(ops: &[Op]) -> History {
    History {
        blocks_writes: false,
        maintained: false,
        handler: Handler(vec![Handling::Done]),
        ops: ops.to_vec(),
    }
}

fn named() -> Vec<(&'static str, History)> {
    let delete = Op::Delete {
        channel: Channel::PubSub,
    };
    let settle = Op::Open {
        purpose: Purpose::Settle,
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
                settle.clone(),
                settle_in(Source::Hand),
                COMMIT,
                handle(Source::Past),
                settle.clone(),
                settle_in(Source::Past),
                COMMIT,
                FETCH,
                settle.clone(),
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
                settle.clone(),
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
                settle,
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

async fn on_both(postgres: &Postgres, history: &History) -> Checked {
    let (on_memory, _) = on_memory(history, |memory| memory)
        .await
        .map_err(|violation| violation.during("memory"))?;
    let (on_postgres, _) = postgres
        .run(history)
        .await
        .map_err(|violation| violation.during("postgres"))?;
    assert_eq!(on_memory, on_postgres);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn e1_named_histories_end_alike() {
    let postgres = Postgres::start().await;
    let mut wrong = Vec::new();
    for (name, history) in named() {
        if let Err(violation) = on_both(&postgres, &history).await {
            wrong.push(format!("{name}: {violation}\n{history:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
