//! The cases, a family per file.
//!
//! A case takes a `Scene` when the engine as a trait object is all it needs, and a `Fixture` when it
//! opens transactions. It is named in the table of `suite.rs`.

pub(crate) mod accounting;
pub(crate) mod blocking;
pub(crate) mod closed;
pub(crate) mod contention;
pub(crate) mod dead_letters;
pub(crate) mod deliveries_across_modes;
pub(crate) mod dropped;
pub(crate) mod fan_out;
pub(crate) mod incarnations;
pub(crate) mod late_commits;
pub(crate) mod leases;
pub(crate) mod lifecycle;
pub(crate) mod liveness;
pub(crate) mod members;
pub(crate) mod mode_changes;
pub(crate) mod modes;
pub(crate) mod ordering;
pub(crate) mod parking;
pub(crate) mod publishing;
pub(crate) mod queues;
pub(crate) mod races;
pub(crate) mod rebalance;
pub(crate) mod records;
pub(crate) mod seek;
pub(crate) mod seek_races;
pub(crate) mod settling;
pub(crate) mod stalls;
pub(crate) mod starts;
pub(crate) mod subscribe_races;
pub(crate) mod subscribing;
pub(crate) mod topic_deletion;
pub(crate) mod topics;
pub(crate) mod tracked_stalls;
pub(crate) mod transactional_conflicts;
pub(crate) mod transactional_ordering;
pub(crate) mod transactional_publishing;
pub(crate) mod transactional_settling;
pub(crate) mod watermark;
pub(crate) mod watermark_races;
pub(crate) mod zero_subscriptions;
