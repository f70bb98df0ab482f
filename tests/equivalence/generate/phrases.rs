//! Ops that lead somewhere together, and that chance would seldom put side by side.

use proptest::prelude::*;
use proptest::sample::select;

use super::ops::{batch, channel, lease, pick, reader};
use crate::op::{Expire, Op, Purpose, Source};
use crate::reader::Reader;

/// A few ops.
pub(super) fn phrase() -> impl Strategy<Value = Vec<Op>> {
    prop_oneof![
        2 => what_is_consumed_becomes_something_new(),
        2 => settling_in_a_transaction(),
        2 => settling_twice(),
        3 => one_is_slow_and_another_faster(),
        2 => a_publisher_is_overtaken(),
        2 => the_group_starts_anew(),
        3 => the_group_rests(),
    ]
}

/// Most of these ops, in order; each shrinks to nothing by itself.
pub(super) fn some(ops: Vec<BoxedStrategy<Op>>) -> BoxedStrategy<Vec<Op>> {
    let ops: Vec<_> = ops
        .into_iter()
        .map(|op| prop::option::weighted(0.92, op))
        .collect();
    ops.prop_map(|ops| ops.into_iter().flatten().collect())
        .boxed()
}

fn what_is_consumed_becomes_something_new() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        publish(),
        fetch(),
        open(Purpose::Transform),
        publish_in(),
        settle_in(),
        settle_in(),
        end(),
    ])
}

fn settling_in_a_transaction() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        publish(),
        fetch(),
        open(Purpose::Settle),
        settle_in(),
        settle_in(),
        end(),
    ])
}

/// The message is delivered again, or settled otherwise, while a transaction settles it.
fn settling_twice() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        fetch(),
        settle_in(),
        expire(),
        fetch(),
        handle(Source::Past),
        end(),
    ])
}

fn one_is_slow_and_another_faster() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        publish(),
        fetch(),
        expire(),
        fetch(),
        handle(Source::Past),
        handle(Source::Past),
    ])
}

fn a_publisher_is_overtaken() -> BoxedStrategy<Vec<Op>> {
    of_a_group(|reader| {
        some(vec![
            publish_in(),
            subscribe(reader),
            publish(),
            end(),
            join(reader),
            fetch(),
        ])
    })
}

fn the_group_starts_anew() -> BoxedStrategy<Vec<Op>> {
    of_a_group(|reader| {
        some(vec![
            subscribe(reader),
            publish(),
            Just(Op::Cancel { reader }).boxed(),
            subscribe(reader),
            join(reader),
        ])
    })
}

fn the_group_rests() -> BoxedStrategy<Vec<Op>> {
    of_a_group(|reader| {
        some(vec![
            publish(),
            Just(Op::Pause { reader }).boxed(),
            publish(),
            fetch(),
            handle(Source::Hand),
            Just(Op::Resume { reader }).boxed(),
        ])
    })
}

fn of_a_group(phrase: impl Fn(Reader) -> BoxedStrategy<Vec<Op>>) -> BoxedStrategy<Vec<Op>> {
    prop_oneof![
        phrase(Reader::Group(0)),
        phrase(Reader::Group(1)),
        phrase(Reader::Group(2)),
    ]
    .boxed()
}

fn publish() -> BoxedStrategy<Op> {
    (channel(), batch())
        .prop_map(|(channel, batch)| Op::Publish { channel, batch })
        .boxed()
}

fn open(purpose: Purpose) -> BoxedStrategy<Op> {
    Just(Op::Open { purpose }).boxed()
}

fn publish_in() -> BoxedStrategy<Op> {
    (0..4_u8, channel(), batch())
        .prop_map(|(tx, channel, batch)| Op::PublishIn { tx, channel, batch })
        .boxed()
}

fn settle_in() -> BoxedStrategy<Op> {
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
fn end() -> BoxedStrategy<Op> {
    prop_oneof![
        4 => (0..4_u8).prop_map(|tx| Op::Commit { tx }),
        1 => (0..4_u8).prop_map(|tx| Op::Rollback { tx }),
    ]
    .boxed()
}

fn subscribe(reader: Reader) -> BoxedStrategy<Op> {
    lease()
        .prop_map(move |lease| Op::Subscribe { reader, lease })
        .boxed()
}

fn join(reader: Reader) -> BoxedStrategy<Op> {
    Just(Op::Join { reader }).boxed()
}

fn fetch() -> BoxedStrategy<Op> {
    (1..24_u8, 1..=5_u8)
        .prop_map(|(member, limit)| Op::Fetch { member, limit })
        .boxed()
}

fn handle(source: Source) -> BoxedStrategy<Op> {
    (1..24_u8, pick())
        .prop_map(move |(member, pick)| Op::Handle {
            member,
            source,
            pick,
        })
        .boxed()
}

fn expire() -> BoxedStrategy<Op> {
    select(vec![Expire::To, Expire::Beyond])
        .prop_map(Op::Expire)
        .boxed()
}
