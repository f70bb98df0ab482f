//! All statements. One documented function a statement; no query text elsewhere but in migrations.

pub(crate) mod beginnings;
mod call;
pub(crate) mod cursor_commits;
pub(crate) mod cursors;
pub(crate) mod database;
pub(crate) mod dead_letters;
mod fns;
pub(crate) mod group_bits;
pub(crate) mod ledger;
pub(crate) mod log;
pub(crate) mod observation;
#[cfg(fanout_planted)]
pub(crate) mod planted;
pub(crate) mod settlements;
pub(crate) mod subscriptions;
pub(crate) mod ticks;
mod time;
pub(crate) mod topics;
pub(crate) mod tracking;
pub(crate) mod upkeep;
pub(crate) mod watermarks;
