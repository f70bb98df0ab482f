//! Messages in hand.

use std::sync::Arc;

use fanout_core::{Delivery, Member};

use super::{LEASE, Scene, TestGroup, TestTopic, take};

/// A topic with a group, and what a member of it holds.
pub(crate) struct Held {
    pub(crate) topic: TestTopic,
    pub(crate) group: TestGroup,
    pub(crate) member: Arc<dyn Member>,
    pub(crate) deliveries: Vec<Delivery>,
}

/// Publishes `n` messages to a group and takes them.
pub(crate) async fn hold(s: &Scene, n: usize) -> Held {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(n).await;
    let member = group.member().await;
    let mut deliveries = take(&*member, n).await;
    deliveries.sort_by_key(|d| d.message.id);
    Held {
        topic,
        group,
        member,
        deliveries,
    }
}

/// Asserts that all is settled for good.
pub(crate) async fn never_again(s: &Scene, held: &Held) {
    s.maintain_until_idle().await;
    s.advance(LEASE * 10);
    held.group
        .nothing("a settled message is never delivered again")
        .await;
    assert_eq!(held.group.pending().await, [], "and not owed");
}
