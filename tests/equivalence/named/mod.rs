//! Histories that chance seldom makes.

mod failures;
mod modes;
mod order;
mod positions;
mod settlements;
mod transactions;

use fanout_core::CompletionMode;
use fanout_tests::handler::{Handler, Handling};
use fanout_tests::history::History;
use fanout_tests::op::{Batch, Expire, Keys, Op, Pick, Purpose, Source, Start, Tick};
use fanout_tests::reader::{Channel, LeaseLength, Order, Reader};

/// What happens, and a history of it.
pub(crate) type Named = (&'static str, History);

/// All of them, for readers in any order: each is to be run in every one.
pub(crate) fn named() -> Vec<Named> {
    let mut named = settlements::named();
    named.extend(order::named());
    named.extend(failures::named());
    named.extend(transactions::named());
    named.extend(positions::named());
    named.extend(modes::named());
    named
}

const GROUP: Reader = Reader::Group(0);
const SUBSCRIBE: Op = Op::Subscribe {
    reader: GROUP,
    lease: LeaseLength::Long,
    start: Start::Now,
};
const JOIN: Op = Op::Join { reader: GROUP };
const ONE: Batch = Batch {
    messages: 1,
    keys: Keys::None,
};
const PUBLISH: Op = publish(ONE);
const PUBLISH_IN: Op = publish_in(ONE);
const FETCH: Op = fetch(0);
const COMMIT: Op = Op::Commit { tx: 0 };
const CANCEL: Op = Op::Cancel { reader: GROUP };
const EXPIRE: Op = Op::Expire(Expire::To);
const TICK: Op = Op::Tick(Tick::Half);
const OPEN: Op = Op::Open {
    purpose: Purpose::Settle,
};

/// New messages are accounted for by tracking rows.
const COUNT: Op = migrate(CompletionMode::ReferenceCounting);
/// New messages are read by cursor.
const READ: Op = migrate(CompletionMode::OffsetWatermark);

const fn migrate(mode: CompletionMode) -> Op {
    Op::Migrate {
        channel: Channel::PubSub,
        mode,
    }
}

/// All consumers handle at once, or in the end.
fn history(ops: &[Op]) -> History {
    handled(vec![Handling::Done], ops)
}

/// The first message of the history, and every third after it, fails at its first attempt.
fn failing(ops: &[Op]) -> History {
    handled(vec![Handling::Done, Handling::Fail, Handling::Done], ops)
}

fn handled(table: Vec<Handling>, ops: &[Op]) -> History {
    History {
        blocks_writes: false,
        maintained: false,
        members_stay: false,
        first_mode: CompletionMode::ReferenceCounting,
        lanes: 1,
        orders: [Order::Any; 3],
        handler: Handler(table),
        ops: ops.to_vec(),
    }
}

/// Messages of one key.
const fn of_one_key(messages: u8) -> Batch {
    Batch {
        messages,
        keys: Keys::One(0),
    }
}

/// Messages of different keys.
const fn of_keys(messages: u8) -> Batch {
    Batch {
        messages,
        keys: Keys::Round(0),
    }
}

const fn publish(batch: Batch) -> Op {
    Op::Publish {
        channel: Channel::PubSub,
        batch,
    }
}

const fn publish_in(batch: Batch) -> Op {
    Op::PublishIn {
        tx: 0,
        channel: Channel::PubSub,
        batch,
    }
}

const fn fetch(member: u8) -> Op {
    Op::Fetch { member, limit: 5 }
}

const fn fetch_one(member: u8) -> Op {
    Op::Fetch { member, limit: 1 }
}

/// The latest receipts.
const fn latest(count: u8) -> Pick {
    before_latest(0, count)
}

/// Those before the latest ones.
const fn before_latest(from: u8, count: u8) -> Pick {
    Pick {
        from,
        count,
        twice: false,
    }
}

const fn handle(source: Source) -> Op {
    handle_some(source, latest(4))
}

const fn handle_some(source: Source, pick: Pick) -> Op {
    Op::Handle {
        member: 0,
        source,
        pick,
    }
}

const fn settle_in(source: Source) -> Op {
    settle_some_in(source, latest(4))
}

const fn settle_some_in(source: Source, pick: Pick) -> Op {
    Op::SettleIn {
        tx: 0,
        reader: GROUP,
        source,
        pick,
    }
}

const fn subscribe_at(reader: Reader, start: Start) -> Op {
    Op::Subscribe {
        reader,
        lease: LeaseLength::Short,
        start,
    }
}

const fn seek(to: Start) -> Op {
    Op::Seek { reader: GROUP, to }
}
