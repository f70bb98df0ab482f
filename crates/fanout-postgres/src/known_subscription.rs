//! The subscription as a member knows it.

use fanout_core::{GroupIndex, Scope, Subscription, TopicId};
use parking_lot::RwLock;

/// What a member last read of its subscription.
#[derive(Debug)]
pub(crate) struct KnownSubscription(RwLock<Subscription>);

impl KnownSubscription {
    pub(crate) const fn new(subscription: Subscription) -> Self {
        Self(RwLock::new(subscription))
    }

    pub(crate) fn get(&self) -> Subscription {
        self.0.read().clone()
    }

    pub(crate) fn scope(&self, topic: TopicId) -> Scope {
        let known = self.0.read();
        Scope {
            topic,
            topic_name: known.topic.clone(),
            subscription: known.id,
            group: known.group_index,
            options: known.options.clone(),
        }
    }

    /// Goes on with the subscription as a call read it that began with this bit. A seek gives it another one; then
    /// `leave` is called with the one that is left, before anybody sees the other. If another call has moved on
    /// meanwhile, what this one read may be of before that, and comes too late; a bit never comes back, so the same
    /// one means that nobody has.
    pub(crate) fn adopt(
        &self,
        read: Subscription,
        began: GroupIndex,
        leave: impl FnOnce(GroupIndex),
    ) {
        let mut known = self.0.write();
        if known.group_index != began {
            return;
        }
        if known.group_index != read.group_index {
            leave(known.group_index);
        }
        *known = read;
    }
}

#[cfg(test)]
mod tests {
    use fanout_core::{
        GroupName, StartPosition, SubscriptionId, SubscriptionOptions, SubscriptionStatus,
        Timestamp, TopicName,
    };

    use super::*;

    fn of_bit(group: u16) -> Subscription {
        Subscription {
            id: SubscriptionId(1),
            topic: TopicName::new("t").unwrap(),
            group: GroupName::new("g").unwrap(),
            group_index: GroupIndex(group),
            status: SubscriptionStatus::Active,
            start: StartPosition::FromNow,
            options: SubscriptionOptions::default(),
            subscribed_at: Timestamp::UNIX_EPOCH,
            status_changed_at: Timestamp::UNIX_EPOCH,
            last_heartbeat_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// Adopts, and tells which bits are left.
    fn adopt(known: &KnownSubscription, read: Subscription, began: u16) -> Vec<GroupIndex> {
        let mut left = Vec::new();
        known.adopt(read, GroupIndex(began), |group| left.push(group));
        left
    }

    #[test]
    fn an_answer_between_two_seeks_comes_too_late() {
        let known = KnownSubscription::new(of_bit(0));
        assert_eq!(adopt(&known, of_bit(2), 0), [GroupIndex(0)]);
        assert_eq!(adopt(&known, of_bit(1), 0), [], "it never knew this one");
        assert_eq!(adopt(&known, of_bit(0), 0), [], "nor goes it back");
        assert_eq!(known.scope(TopicId(1)).group, GroupIndex(2));
        // The bits of a topic are taken again, in no order.
        assert_eq!(adopt(&known, of_bit(1), 2), [GroupIndex(2)]);
        assert_eq!(known.get().group_index, GroupIndex(1));
    }

    #[test]
    fn without_a_seek_what_was_read_is_known() {
        let known = KnownSubscription::new(of_bit(0));
        let mut read = of_bit(0);
        read.status = SubscriptionStatus::Paused;
        assert_eq!(adopt(&known, read, 0), []);
        assert_eq!(known.get().status, SubscriptionStatus::Paused);
    }
}
