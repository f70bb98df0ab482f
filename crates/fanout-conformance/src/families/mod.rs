//! The cases, a family per file.
//!
//! A case takes a `Scene` when the engine as a trait object is all it needs, and a `Fixture` when it
//! opens transactions. It is named in the table of `suite.rs`.

pub(crate) mod accounting;
pub(crate) mod closed;
pub(crate) mod contention;
pub(crate) mod dead_letters;
pub(crate) mod dropped;
pub(crate) mod fan_out;
pub(crate) mod leases;
pub(crate) mod lifecycle;
pub(crate) mod liveness;
pub(crate) mod members;
pub(crate) mod publishing;
pub(crate) mod queues;
pub(crate) mod races;
pub(crate) mod settling;
pub(crate) mod subscribe_races;
pub(crate) mod subscribing;
pub(crate) mod topic_deletion;
pub(crate) mod topics;
pub(crate) mod transactional_conflicts;
pub(crate) mod transactional_publishing;
pub(crate) mod transactional_settling;
pub(crate) mod zero_subscriptions;
