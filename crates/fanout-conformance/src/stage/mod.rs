//! What makes cases short: handles for topics and groups, ways to drain, and assertions that say
//! what was promised.

mod asserts;
mod cut;
mod fixture;
mod group;
mod held;
mod scene;
mod take;
mod together;
mod topic;

pub(crate) use asserts::{refused, same_ids};
pub(crate) use cut::{Cut, at_every_cut, cut};
pub(crate) use fixture::{Fixture, guarded};
pub(crate) use group::TestGroup;
pub(crate) use held::{hold, never_again};
pub(crate) use scene::{LEASE, Scene, ended, full_size, group_name, messages, options, topic_name};
pub(crate) use take::{fetch, ids, nothing, receipts, settle_all, take, take_all};
pub(crate) use together::{begin_waiting, join_all, together};
pub(crate) use topic::TestTopic;
