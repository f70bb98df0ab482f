//! What the acceptance tests share.

mod chance;
mod gate;
mod id_above_last;
mod ledger;
mod mode_changes;
mod order;
mod published;
mod publishers;
mod report;
mod stage;
mod worker;

pub(crate) use chance::Chance;
pub(crate) use gate::Gate;
pub(crate) use id_above_last::IdAboveLast;
pub(crate) use ledger::{Fate, Ledger};
pub(crate) use mode_changes::ModeChanges;
pub(crate) use order::assert_order;
pub(crate) use published::{Known, Published};
pub(crate) use publishers::{BeforeEnd, Publishers};
pub(crate) use report::report;
pub(crate) use stage::{Stage, group_name, options};
pub(crate) use worker::{Refusals, Worker};
