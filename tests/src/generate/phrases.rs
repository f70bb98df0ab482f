//! Ops that lead somewhere together, and that chance would seldom put side by side.

use proptest::prelude::*;
use proptest::sample::select;

use super::ops::{past, start};
use super::words::{
    end, expire, fetch, handle, handle_latest, join, migrate, open, publish, publish_in,
    publish_keyed, settle_in, subscribe, subscribe_in_the_past, tick,
};
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
        2 => the_group_begins_in_the_past(),
        2 => the_group_is_moved(),
        3 => a_key_is_handled_backwards(),
        3 => a_failure_holds_a_lane_up(),
        3 => a_member_falls_silent(),
        2 => publishers_of_a_key_overlap(),
        3 => the_mode_changes(),
        2 => a_key_goes_through_a_change_of_mode(),
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

fn the_group_begins_in_the_past() -> BoxedStrategy<Vec<Op>> {
    of_a_group(|reader| {
        some(vec![
            publish(),
            publish_in(),
            Just(Op::Cancel { reader }).boxed(),
            subscribe_in_the_past(reader),
            join(reader),
            fetch(),
            end(),
        ])
    })
}

fn the_group_is_moved() -> BoxedStrategy<Vec<Op>> {
    let reader =
        prop_oneof![4 => select(vec![0, 1, 2]).prop_map(Reader::Group), 1 => Just(Reader::Queue)];
    let to = prop_oneof![1 => start(), 2 => past()];
    (reader, to)
        .prop_flat_map(|(reader, to)| {
            some(vec![
                publish(),
                fetch(),
                handle(Source::Hand),
                publish_in(),
                Just(Op::Seek { reader, to }).boxed(),
                fetch(),
                handle(Source::Past),
                end(),
            ])
        })
        .boxed()
}

/// The latest first, which is out of order.
fn a_key_is_handled_backwards() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        publish_keyed(),
        fetch(),
        handle_latest(),
        settle_in(),
        handle_latest(),
        handle(Source::Hand),
    ])
}

fn a_failure_holds_a_lane_up() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        publish_keyed(),
        publish(),
        fetch(),
        fetch(),
        handle(Source::Hand),
        fetch(),
        handle(Source::Group),
        tick(),
        fetch(),
    ])
}

fn a_member_falls_silent() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        publish(),
        fetch(),
        Just(Op::Expire(Expire::FarBeyond)).boxed(),
        fetch(),
        fetch(),
        fetch(),
        handle(Source::Past),
    ])
}

/// Which of them comes first is the engine's choice.
fn publishers_of_a_key_overlap() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        publish_in(),
        open(Purpose::Transform),
        publish_keyed(),
        end(),
        fetch(),
        end(),
        fetch(),
        handle(Source::Group),
        handle(Source::Group),
    ])
}

/// To and fro, beside a publisher, with messages of both kinds in hand.
fn the_mode_changes() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        publish(),
        publish_in(),
        fetch(),
        migrate(),
        publish(),
        publish_in(),
        fetch(),
        handle(Source::Hand),
        migrate(),
        end(),
        handle(Source::Past),
    ])
}

fn a_key_goes_through_a_change_of_mode() -> BoxedStrategy<Vec<Op>> {
    some(vec![
        publish_keyed(),
        fetch(),
        migrate(),
        publish_keyed(),
        fetch(),
        handle_latest(),
        expire(),
        fetch(),
        handle(Source::Past),
    ])
}

fn of_a_group(phrase: impl Fn(Reader) -> BoxedStrategy<Vec<Op>>) -> BoxedStrategy<Vec<Op>> {
    prop_oneof![
        phrase(Reader::Group(0)),
        phrase(Reader::Group(1)),
        phrase(Reader::Group(2)),
    ]
    .boxed()
}
