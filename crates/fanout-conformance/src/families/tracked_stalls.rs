//! Expired leases of tracked messages, counted one by one.

use fanout_core::{DeadReason, MemberExt, SubscriptionOptions};

use crate::stage::{LEASE, STALE, Scene, nothing, options, refused, take};

pub(crate) async fn too_many_expired_leases_are_poison(s: &Scene) {
    for (name, stalls) in [("orders", 1), ("returns", 3)] {
        let topic = s.topic(name).await;
        let options = SubscriptionOptions {
            max_stalls: stalls,
            ..options()
        };
        let group = topic.group_with("billing", options).await;
        let sent = topic.publish(1).await;
        let mut last = None;
        for _ in 0..stalls {
            let member = group.member().await;
            last = Some(take(&*member, 1).await.remove(0));
            assert_eq!(group.dead_letters().await, [], "it is not given up yet");
            s.advance(LEASE);
        }
        let member = group.member().await;
        nothing(
            &*member,
            "a message whose lease expired `max_stalls` times is not delivered again",
        )
        .await;
        let dead = group.dead_letters().await;
        assert_eq!(dead.len(), 1, "it is given up: {dead:?}");
        assert_eq!(
            (dead[0].reason, dead[0].attempts, &dead[0].last_error),
            (DeadReason::Poison, 0, &None),
            "as poison, after no failure"
        );
        assert_eq!(dead[0].message.id, sent[0], "with its copy");
        assert_eq!(dead[0].dead_at, s.now(), "dated by the clock");
        assert_eq!(group.pending().await, [], "and is settled");
        let last = last.expect("it was delivered at least once");
        refused(
            member.done(&last).await,
            STALE,
            "the receipt of its last delivery is stale",
        );
        assert_eq!(
            topic.record(sent[0]).await.completed,
            [group.name().clone()].into(),
            "giving up as poison settles"
        );
    }
}
