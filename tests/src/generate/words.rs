//! What phrases are made of.

use proptest::prelude::*;
use proptest::sample::select;

use super::ops::{self, batch, channel, keyed, lease, mode, past, pick, reader};
use crate::op::{Op, Pick, Purpose, Source, Start, Tick};
use crate::reader::{Channel, Reader};

pub(super) fn publish() -> BoxedStrategy<Op> {
    (channel(), batch())
        .prop_map(|(channel, batch)| Op::Publish { channel, batch })
        .boxed()
}

pub(super) fn open(purpose: Purpose) -> BoxedStrategy<Op> {
    Just(Op::Open { purpose }).boxed()
}

pub(super) fn publish_in() -> BoxedStrategy<Op> {
    (0..4_u8, channel(), batch())
        .prop_map(|(tx, channel, batch)| Op::PublishIn { tx, channel, batch })
        .boxed()
}

pub(super) fn settle_in() -> BoxedStrategy<Op> {
    (0..4_u8, reader(), pick())
        .prop_map(|(tx, reader, pick)| Op::SettleIn {
            tx,
            reader,
            source: Source::Hand,
            pick,
        })
        .boxed()
}

/// Mostly a commit.
pub(super) fn end() -> BoxedStrategy<Op> {
    prop_oneof![
        4 => (0..4_u8).prop_map(|tx| Op::Commit { tx }),
        1 => (0..4_u8).prop_map(|tx| Op::Rollback { tx }),
    ]
    .boxed()
}

pub(super) fn publish_keyed() -> BoxedStrategy<Op> {
    keyed()
        .prop_map(|batch| Op::Publish {
            channel: Channel::PubSub,
            batch,
        })
        .boxed()
}

pub(super) fn migrate() -> BoxedStrategy<Op> {
    (channel(), mode())
        .prop_map(|(channel, mode)| Op::Migrate { channel, mode })
        .boxed()
}

pub(super) fn subscribe(reader: Reader) -> BoxedStrategy<Op> {
    lease()
        .prop_map(move |lease| Op::Subscribe {
            reader,
            lease,
            start: Start::Now,
        })
        .boxed()
}

pub(super) fn subscribe_in_the_past(reader: Reader) -> BoxedStrategy<Op> {
    (lease(), past())
        .prop_map(move |(lease, start)| Op::Subscribe {
            reader,
            lease,
            start,
        })
        .boxed()
}

pub(super) fn join(reader: Reader) -> BoxedStrategy<Op> {
    Just(Op::Join { reader }).boxed()
}

pub(super) fn fetch() -> BoxedStrategy<Op> {
    (1..24_u8, 1..=5_u8)
        .prop_map(|(member, limit)| Op::Fetch { member, limit })
        .boxed()
}

pub(super) fn handle(source: Source) -> BoxedStrategy<Op> {
    (1..24_u8, pick())
        .prop_map(move |(member, pick)| Op::Handle {
            member,
            source,
            pick,
        })
        .boxed()
}

pub(super) fn handle_latest() -> BoxedStrategy<Op> {
    (1..24_u8)
        .prop_map(|member| Op::Handle {
            member,
            source: Source::Hand,
            pick: Pick {
                from: 0,
                count: 1,
                twice: false,
            },
        })
        .boxed()
}

pub(super) fn tick() -> BoxedStrategy<Op> {
    select(vec![Tick::Half, Tick::Brink])
        .prop_map(Op::Tick)
        .boxed()
}

pub(super) fn expire() -> BoxedStrategy<Op> {
    ops::expire().prop_map(Op::Expire).boxed()
}
