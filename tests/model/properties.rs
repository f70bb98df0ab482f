//! The promises, by their numbers in the contract. All are checked in every state; those about the end of a
//! history in the states in which nothing can happen any more.

use stateright::Property;

use crate::fanout::Fanout;
use crate::world::{CatchUp, Fault, Ids, Phase, Status, World};

pub(crate) const NO_LOSS: &str = "3: what is owed is settled or still accounted for";
pub(crate) const NOTHING_ELSE: &str = "3: nothing is delivered that is not owed";
pub(crate) const DRAINED: &str = "3: in the end all that is owed is settled, and nothing is left";
pub(crate) const ONE_SETTLEMENT: &str = "4: one settlement of a message takes effect";
pub(crate) const STALE_RECEIPTS: &str = "4: a stale receipt changes nothing";
pub(crate) const ONE_FOLD: &str = "4: a settlement is counted once";
pub(crate) const EXCLUSIVE_LEASE: &str = "5: a message is leased to one";
pub(crate) const TICKS_GROW: &str = "6: ticks only grow";
pub(crate) const SPANS_PARTITION: &str = "7: spans partition the log";
pub(crate) const FORWARD: &str = "8: cursors move forward";
pub(crate) const FENCING: &str = "9: commits by a stale epoch or version change nothing";
pub(crate) const DELIVERY_ORDER: &str = "10: messages of a key are first delivered in order";
pub(crate) const SETTLEMENT_ORDER: &str = "10: messages of a key are settled in order";

/// Of these every one must be tripped by some planted mistake.
pub(crate) const ALL: [&str; 13] = [
    NO_LOSS,
    NOTHING_ELSE,
    DRAINED,
    ONE_SETTLEMENT,
    STALE_RECEIPTS,
    ONE_FOLD,
    EXCLUSIVE_LEASE,
    TICKS_GROW,
    SPANS_PARTITION,
    FORWARD,
    FENCING,
    DELIVERY_ORDER,
    SETTLEMENT_ORDER,
];

pub(crate) fn all() -> Vec<Property<Fanout>> {
    vec![
        Property::always(NO_LOSS, no_loss),
        Property::always(NOTHING_ELSE, never::<{ Fault::Phantom as u8 }>),
        Property::always(DRAINED, drained),
        Property::always(ONE_SETTLEMENT, never::<{ Fault::SettledTwice as u8 }>),
        Property::always(STALE_RECEIPTS, never::<{ Fault::StaleReceipt as u8 }>),
        Property::always(ONE_FOLD, never::<{ Fault::FoldedTwice as u8 }>),
        Property::always(EXCLUSIVE_LEASE, exclusive_lease),
        Property::always(TICKS_GROW, ticks_grow),
        Property::always(SPANS_PARTITION, spans_partition),
        Property::always(FORWARD, never::<{ Fault::WentBack as u8 }>),
        Property::always(FENCING, never::<{ Fault::Unfenced as u8 }>),
        Property::always(DELIVERY_ORDER, never::<{ Fault::DeliveredEarly as u8 }>),
        Property::always(SETTLEMENT_ORDER, never::<{ Fault::SettledEarly as u8 }>),
    ]
}

/// It has not happened.
fn never<const FAULT: u8>(_: &Fanout, world: &World) -> bool {
    !world.history.has(FAULT)
}

/// What the database says that the group owes: by tracking row, by cursor, or by what catching up will find.
fn accounted(world: &World, ordered: bool) -> Ids {
    let committed = world.committed();
    let tracked = committed.matching(|id| world.message(id).tracked && !ordered);
    let by_cursor = committed.less(tracked).less(world.covered());
    let to_come = match world.subscription.catch_up {
        CatchUp::Done => Ids::NONE,
        _ => tracked.less(world.required),
    };
    world.rows().or(by_cursor).or(to_come)
}

fn no_loss(model: &Fanout, world: &World) -> bool {
    let unsettled = world.owed().less(world.history.settled());
    unsettled.is_within(accounted(world, model.bounds.ordered))
}

/// All is settled and folded.
fn is_drained(world: &World) -> bool {
    let all = world.in_phase(&[Phase::Committed, Phase::RolledBack]);
    let settled = world.history.settled();
    world.open().is_empty()
        && !all.is_empty()
        && world.subscription.status == Status::Live
        && world.owed() == settled
        && world.settlements().is_empty()
        && world.rows().is_empty()
        && world.handlers.iter().all(|handler| !handler.leased)
        && settled
            .matching(|id| !world.required.has(id))
            .is_within(world.covered())
}

fn drained(model: &Fanout, world: &World) -> bool {
    is_drained(world) || !model.is_over(world)
}

fn exclusive_lease(_: &Fanout, world: &World) -> bool {
    let leased = || world.handlers.iter().filter(|handler| handler.leased);
    leased().count()
        == leased()
            .map(|handler| handler.id)
            .collect::<Ids>()
            .iter()
            .count()
}

fn ticks_grow(_: &Fanout, world: &World) -> bool {
    let mut pairs = world.ticks.windows(2);
    pairs.all(|pair| pair[0].seen.is_within(pair[1].seen))
}

/// Each tick covers exactly what it sees and the one before does not.
fn spans_partition(_: &Fanout, world: &World) -> bool {
    let mut before = Ids::NONE;
    world.ticks.iter().all(|tick| {
        let span = tick.seen.less(std::mem::replace(&mut before, tick.seen));
        tick.ranges == span
    })
}
