//! How proptest makes histories: of single ops, and of phrases, which lead somewhere together.

mod ops;
mod phrases;
mod words;

use fanout_core::DEFAULT_LANES;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::handler::Handler;
use crate::history::History;
use crate::op::{Op, Start};
use crate::reader::{LeaseLength, Order, Reader};

use ops::{handling, mode, op};
use phrases::{phrase, some};

/// Histories of at most this many ops, most of them not much shorter.
pub fn histories(max_ops: usize) -> impl Strategy<Value = History> {
    (
        prop::bool::weighted(0.15),
        any::<bool>(),
        mode(),
        select(vec![2, 1, 3, DEFAULT_LANES]),
        orders(),
        vec(handling(), 1..=16),
        opening(),
        // Of one length, so that most are long; each shrinks to nothing.
        vec(
            prop_oneof![1 => Just(vec![]), 6 => some(vec![op().boxed()]), 3 => phrase()],
            max_ops / 2,
        ),
        any::<bool>(),
    )
        .prop_map(
            move |(
                blocks_writes,
                maintained,
                first_mode,
                lanes,
                orders,
                table,
                opening,
                rest,
                members_stay,
            )| {
                let mut ops = opening;
                ops.extend(rest.into_iter().flatten());
                ops.truncate(max_ops);
                History {
                    blocks_writes,
                    maintained,
                    members_stay,
                    first_mode,
                    lanes,
                    orders,
                    handler: Handler(table),
                    ops,
                }
            },
        )
}

/// Mostly one of each.
fn orders() -> impl Strategy<Value = [Order; 3]> {
    prop_oneof![
        3 => Just(Order::ALL.to_vec()).prop_shuffle().prop_map(|orders| [orders[0], orders[1], orders[2]]),
        1 => [order(), order(), order()],
    ]
}

fn order() -> impl Strategy<Value = Order> {
    select(Order::ALL.to_vec())
}

/// What most histories begin with, so that they get to the point.
const OPENING: [Op; 6] = [
    Op::Subscribe {
        reader: Reader::Group(0),
        lease: LeaseLength::Long,
        start: Start::Now,
    },
    Op::Subscribe {
        reader: Reader::Group(1),
        lease: LeaseLength::Short,
        start: Start::Now,
    },
    Op::Join {
        reader: Reader::Group(0),
    },
    Op::Join {
        reader: Reader::Group(0),
    },
    Op::Join {
        reader: Reader::Group(1),
    },
    Op::Join {
        reader: Reader::Queue,
    },
];

fn opening() -> impl Strategy<Value = Vec<Op>> {
    prop::sample::subsequence(OPENING.to_vec(), 0..=OPENING.len())
}
