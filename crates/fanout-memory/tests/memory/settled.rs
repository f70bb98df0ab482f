//! What is settled stays settled, and receipts of the past change nothing.

use fanout_core::{
    Backend, BackendExt, DeadReason, DeleteTopic, ErrorKind, Extension, MAX_GROUPS, MemberExt,
    Outcome, Settlement, SubscriptionOptions, TopicConfig,
};
use fanout_memory::MemoryBackend;

use crate::stage::{LEASE, Stage, group, ids, kind, take, topic};

#[tokio::test]
async fn a_settled_message_stays_settled_also_after_it_was_dropped() {
    let stage = Stage::with(MemoryBackend::builder().max_bytes(2_000)).await;
    let member = stage.join("g").await;
    stage.publish(1, 700).await.unwrap();
    let old = take(&member, 1).await;
    member.done(&old[0]).await.unwrap();
    assert_eq!(kind(member.done(&old[0]).await), ErrorKind::StaleReceipt);

    stage.publish(2, 700).await.unwrap();
    assert_eq!(stage.dropped().await, 1);
    assert_eq!(kind(member.done(&old[0]).await), ErrorKind::StaleReceipt);
    let extended = member.extend(&[old[0].receipt], LEASE).await.unwrap();
    assert_eq!(extended, [Extension::Stale]);
    stage.clock.advance(LEASE * 2);
    assert_eq!(ids(&take(&member, 10).await), [2, 3]);
}

#[tokio::test]
async fn ids_go_on_after_everything_was_dropped() {
    let stage = Stage::with(MemoryBackend::builder().max_bytes(2_000)).await;
    stage.publish(2, 700).await.unwrap();
    let next = stage.publish(2, 700).await.unwrap();
    assert_eq!((next[0].0, stage.dropped().await), (3, 2));
}

#[tokio::test]
async fn poison_is_settled_by_the_fetch_that_finds_it() {
    let stage = Stage::new().await;
    let options = SubscriptionOptions {
        max_stalls: 2,
        ..SubscriptionOptions::default()
    };
    let member = stage.join_with("g", options).await;
    stage.publish(2, 1).await.unwrap();
    let first = take(&member, 2).await;
    member.fail(&first[0], "not now").await.unwrap();
    for expected in [&[1, 2][..], &[1], &[]] {
        stage.clock.advance(LEASE);
        let taken = take(&member, 2).await;
        assert_eq!(ids(&taken), expected, "an expired lease is no attempt");
        assert!(taken.iter().all(|d| d.attempt == 3 - d.message.id.0 as u32));
    }
    let letters = stage
        .backend
        .dead_letters(&stage.topic, None, 10)
        .await
        .unwrap();
    let told: Vec<_> = letters
        .iter()
        .map(|letter| (letter.message.id.0, letter.attempts, letter.reason))
        .collect();
    assert_eq!(
        told,
        [(2, 0, DeadReason::Poison), (1, 1, DeadReason::Poison)]
    );
    assert_eq!(letters[1].last_error.as_deref(), Some("not now"));
    assert_eq!(stage.pending("g").await, [0; 0]);
}

#[tokio::test]
async fn receipts_of_a_cancelled_subscription_are_stale_for_the_next_one() {
    let stage = Stage::new().await;
    let before = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    let old = take(&before, 1).await;
    stage
        .backend
        .cancel(&stage.topic, &group("g"))
        .await
        .unwrap();
    let after = stage.join("g").await;
    assert_ne!(
        before.subscription().group_index,
        after.subscription().group_index
    );

    stage.publish(1, 1).await.unwrap();
    let settlement = [Settlement::done(old[0].receipt)];
    for member in [&before, &after] {
        assert_eq!(member.settle(&settlement).await.unwrap(), [Outcome::Stale]);
    }
    let new = take(&after, 10).await;
    assert_eq!(ids(&new), [2]);
    let settlement = [Settlement::done(new[0].receipt)];
    assert_eq!(
        before.settle(&settlement).await.unwrap(),
        [Outcome::Stale],
        "its time is over"
    );
    assert_eq!(after.settle(&settlement).await.unwrap(), [Outcome::Applied]);
}

#[tokio::test]
async fn receipts_of_a_deleted_topic_are_foreign_to_its_successor() {
    let stage = Stage::new().await;
    let before = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    let old = take(&before, 1).await;
    stage
        .backend
        .delete_topic(&stage.topic, DeleteTopic::Forced)
        .await
        .unwrap();
    assert_eq!(kind(before.fetch(1).await), ErrorKind::TopicNotFound);
    assert_eq!(kind(before.done(&old[0]).await), ErrorKind::StaleReceipt);

    let config = TopicConfig::default();
    stage
        .backend
        .create_topic(&stage.topic, config)
        .await
        .unwrap();
    let after = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    assert_eq!(kind(after.done(&old[0]).await), ErrorKind::ForeignReceipt);
    assert_eq!(ids(&take(&after, 10).await), [1]);
    before.leave().await.unwrap();
}

#[tokio::test]
async fn indexes_of_cancelled_groups_are_used_again_when_no_other_is_left() {
    let stage = Stage::new().await;
    let crowd = topic("crowd");
    stage
        .backend
        .create_topic(&crowd, TopicConfig::default())
        .await
        .unwrap();
    for n in 0..MAX_GROUPS {
        let name = group(&format!("g{n}"));
        stage
            .backend
            .subscribe_from_now(&crowd, &name)
            .await
            .unwrap();
    }
    let one_more = stage
        .backend
        .subscribe_from_now(&crowd, &group("one more"))
        .await;
    assert_eq!(kind(one_more), ErrorKind::CapacityExceeded);
    let gone = stage.backend.cancel(&crowd, &group("g7")).await.unwrap();
    let new = stage
        .backend
        .subscribe_from_now(&crowd, &group("one more"))
        .await
        .unwrap();
    assert_eq!(new.group_index, gone.group_index);
    assert_ne!(new.id, gone.id);
}
