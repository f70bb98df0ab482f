//! What makes cases short: handles for topics and groups, ways to drain, and assertions that say
//! what was promised.

mod asserts;
mod chance;
mod cut;
mod fixture;
mod group;
mod held;
mod order;
mod scene;
mod take;
mod together;
mod topic;

pub(crate) use asserts::{LOST, STALE, refused, same_ids};
pub(crate) use chance::Chance;
pub(crate) use cut::{Cut, at_every_cut, cut};
pub(crate) use fixture::{Fixture, guarded};
pub(crate) use group::TestGroup;
pub(crate) use held::{hold, never_again};
pub(crate) use order::{by_key, in_order};
pub(crate) use scene::{
    LEASE, Scene, blocking, both_orderings, ended, full_size, group_name, keyed, messages, of_key,
    options, ordered, patient, topic_name,
};
pub(crate) use take::{
    fetch, gather, gather_one, ids, nothing, outcomes, receipts, settle_all, take, take_all,
};
pub(crate) use together::{begin_waiting, join_all, together};
pub(crate) use topic::TestTopic;
