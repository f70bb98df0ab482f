//! How proptest makes histories: of single ops, and of phrases, which lead somewhere together.

mod ops;
mod phrases;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::handler::Handler;
use crate::history::History;
use crate::op::Op;
use crate::reader::{LeaseLength, Reader};

use ops::{handling, op};
use phrases::{phrase, some};

/// Histories of at most this many ops, most of them not much shorter.
pub(crate) fn histories(max_ops: usize) -> impl Strategy<Value = History> {
    (
        prop::bool::weighted(0.15),
        any::<bool>(),
        vec(handling(), 1..=16),
        opening(),
        // Of one length, so that most are long; each shrinks to nothing.
        vec(
            prop_oneof![1 => Just(vec![]), 6 => some(vec![op().boxed()]), 3 => phrase()],
            max_ops / 2,
        ),
    )
        .prop_map(move |(blocks_writes, maintained, table, opening, rest)| {
            let mut ops = opening;
            ops.extend(rest.into_iter().flatten());
            ops.truncate(max_ops);
            History {
                blocks_writes,
                maintained,
                handler: Handler(table),
                ops,
            }
        })
}

/// What most histories begin with, so that they get to the point.
const OPENING: [Op; 6] = [
    Op::Subscribe {
        reader: Reader::Group(0),
        lease: LeaseLength::Long,
    },
    Op::Subscribe {
        reader: Reader::Group(1),
        lease: LeaseLength::Short,
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
