//! Moving a group.

use std::collections::BTreeSet;

use fanout_core::{
    Backend, BackendExt, DeleteTopic, ErrorKind, Extension, GroupName, MAX_GROUPS, MemberExt,
    MessageId, Outcome, Settlement, StartPosition, Subscription, SubscriptionOptions,
    SubscriptionStatus, TopicConfig, Transactional,
};

use crate::stage::{LEASE, Stage, blocking, group, ids, kind, offset, one_lane, per_key, take};

async fn seek(stage: &Stage, to: StartPosition) -> Subscription {
    let group = group("g");
    stage.backend.seek(&stage.topic, &group, to).await.unwrap()
}

#[tokio::test]
async fn a_seek_owes_what_a_new_subscription_would_owe() {
    use StartPosition::{FromBeginning, FromMessage, FromNow, FromTimestamp};
    for options in [SubscriptionOptions::default(), per_key()] {
        for config in [offset(), TopicConfig::default()] {
            let stage = Stage::of(config).await;
            let member = stage.join_with("g", options.clone()).await;
            stage.publish_keyed("x y x y").await;
            let held = take(&member, 10).await;
            member.done_all(&held[..2]).await.unwrap();

            for (to, expected) in [
                (FromBeginning, &[1, 2, 3, 4][..]),
                (FromMessage(MessageId(2)), &[2, 3, 4]),
                (FromNow, &[]),
                (FromTimestamp(held[0].message.created_at), &[1, 2, 3, 4]),
            ] {
                seek(&stage, to).await;
                assert_eq!(stage.pending("g").await, expected, "{to:?}");
                let taken = take(&member, 10).await;
                assert_eq!(ids(&taken), expected);
                assert!(taken.iter().all(|d| d.attempt == 1));
            }
        }
    }
}

#[tokio::test]
async fn receipts_of_before_are_stale_and_members_work_on() {
    let stage = Stage::of(offset()).await;
    let member = stage.join_with("g", per_key()).await;
    stage.publish_keyed("x y").await;
    let old = take(&member, 10).await;
    let before = member.subscription();
    let after = seek(&stage, StartPosition::FromBeginning).await;
    assert_ne!(after.group_index, before.group_index);
    let unmoved = Subscription {
        group_index: before.group_index,
        ..after.clone()
    };
    assert_eq!(unmoved, before, "all else stays, its start too");
    assert_eq!(
        member.heartbeat().await.unwrap().group_index,
        after.group_index
    );

    let settlements: Vec<_> = old.iter().map(|d| Settlement::done(d.receipt)).collect();
    let refused = [Outcome::Stale; 2];
    assert_eq!(member.settle(&settlements).await.unwrap(), refused);
    let receipts = [old[0].receipt];
    let extended = member.extend(&receipts, LEASE).await.unwrap();
    assert_eq!(extended, [Extension::Stale]);
    let settled = stage.settle_in(&[&old[0]]).await;
    assert_eq!(kind(settled), ErrorKind::StaleReceipt);

    let new = take(&member, 10).await;
    assert_eq!(ids(&new), [1, 2], "at once, whatever the old leases were");
    assert_eq!(member.settle(&settlements).await.unwrap(), refused);
    assert_eq!(member.done_all(&new).await.unwrap(), 2);
}

#[tokio::test]
async fn failures_parked_messages_and_blocked_lanes_are_forgotten() {
    for options in [per_key(), blocking()] {
        let stage = Stage::of(one_lane()).await;
        let member = stage.join_with("g", options).await;
        stage.publish_keyed("x x").await;
        let held = take(&member, 1).await;
        member.fail(&held[0], "no").await.unwrap();
        seek(&stage, StartPosition::FromBeginning).await;
        let taken = take(&member, 10).await;
        assert_eq!(ids(&taken), [1, 2]);
        assert_eq!(taken[0].attempt, 1);
        member.fail(&taken[0], "no").await.unwrap();
        seek(&stage, StartPosition::FromNow).await;
        let stats = stage.stats("g").await;
        assert_eq!((stats.pending, stats.delayed), (0, 0));
    }
}

#[tokio::test]
async fn dead_letters_stay() {
    let stage = Stage::new().await;
    let options = SubscriptionOptions {
        max_attempts: 1,
        ..SubscriptionOptions::default()
    };
    let member = stage.join_with("g", options).await;
    stage.publish(1, 1).await.unwrap();
    for _ in 0..2 {
        member.fail(&take(&member, 1).await[0], "no").await.unwrap();
        seek(&stage, StartPosition::FromBeginning).await;
    }
    assert_eq!(stage.stats("g").await.dead_letters, 2);
    assert_eq!(stage.pending("g").await, [1]);
}

#[tokio::test]
async fn the_accounting_tells_one_reading_from_the_next() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(3, 1).await.unwrap();
    member.done(&take(&member, 1).await[0]).await.unwrap();
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|n| group(n))
            .collect::<BTreeSet<GroupName>>()
    };
    let records = async || {
        let found = stage.backend.accounting(&stage.topic, MessageId(0), 10);
        let of = |set: &BTreeSet<GroupName>| set.contains(&group("g"));
        found
            .await
            .unwrap()
            .iter()
            .inspect(|record| assert!(record.required.is_subset(&names(&["g"]))))
            .map(|record| {
                let done = record.completed_at.is_some();
                (of(&record.required), of(&record.completed), done)
            })
            .collect::<Vec<_>>()
    };
    let (owes, has, none) = (
        (true, false, false),
        (true, true, true),
        (false, false, true),
    );
    assert_eq!(records().await, [has, owes, owes]);
    seek(&stage, StartPosition::FromNow).await;
    assert_eq!(records().await, [has, none, none]);
    seek(&stage, StartPosition::FromBeginning).await;
    assert_eq!(
        records().await,
        [(true, true, false), owes, owes],
        "the first was completed once and is required again"
    );
    member.done_all(&take(&member, 10).await).await.unwrap();
    assert_eq!(records().await, [has; 3]);
}

#[tokio::test]
async fn a_paused_group_is_moved_and_stays_paused() {
    let stage = Stage::of(offset()).await;
    let member = stage.join_with("g", per_key()).await;
    stage.publish(2, 1).await.unwrap();
    let (topic, group) = (&stage.topic, &group("g"));
    stage.backend.pause(topic, group).await.unwrap();
    let moved = seek(&stage, StartPosition::FromMessage(MessageId(2))).await;
    assert_eq!(moved.status, SubscriptionStatus::Paused);
    assert!(take(&member, 10).await.is_empty());
    stage.backend.resume(topic, group).await.unwrap();
    assert_eq!(ids(&take(&member, 10).await), [2]);
}

#[tokio::test]
async fn a_seek_needs_a_subscription_that_counts() {
    let stage = Stage::new().await;
    let (backend, now) = (&stage.backend, StartPosition::FromNow);
    let (topic, name) = (&stage.topic, &group("g"));
    let nowhere = backend.seek(&crate::stage::topic("none"), name, now).await;
    assert_eq!(kind(nowhere), ErrorKind::TopicNotFound);
    let nobody = backend.seek(topic, name, now).await;
    assert_eq!(kind(nobody), ErrorKind::SubscriptionNotFound);
    stage.join("g").await;
    backend.cancel(topic, name).await.unwrap();
    let error = backend.seek(topic, name, now).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTransition);
    assert!(error.message().contains("status=`CANCELLED`"), "{error}");
}

#[tokio::test]
async fn a_queue_is_replayed() {
    let stage = Stage::of(TopicConfig::queue()).await;
    stage.publish(2, 1).await.unwrap();
    let member = stage.backend.join_queue(&stage.topic).await.unwrap();
    member.done_all(&take(&member, 10).await).await.unwrap();
    stage
        .backend
        .seek(
            &stage.topic,
            &GroupName::queue(),
            StartPosition::FromBeginning,
        )
        .await
        .unwrap();
    assert_eq!(ids(&take(&member, 10).await), [1, 2]);
}

#[tokio::test]
async fn a_transaction_of_before_settles_nothing_any_more() {
    for dropped in [false, true] {
        let stage = Stage::new().await;
        let member = stage.join("g").await;
        stage.publish(1, 1).await.unwrap();
        let held = take(&member, 1).await;
        let mut open = stage.backend.begin().await.unwrap();
        let receipts = [held[0].receipt];
        stage.backend.settle_in(open.tx(), &receipts).await.unwrap();
        seek(&stage, StartPosition::FromBeginning).await;
        let new = take(&member, 1).await;
        stage.settle_in(&[&new[0]]).await.unwrap();
        seek(&stage, StartPosition::FromBeginning).await;
        if dropped {
            drop(open);
        } else {
            open.commit().await.unwrap();
        }
        assert_eq!(stage.pending("g").await, [1]);
        assert_eq!(take(&member, 1).await[0].attempt, 1);
    }
}

#[tokio::test]
async fn what_a_seek_makes_owed_is_kept() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    member.done(&take(&member, 1).await[0]).await.unwrap();
    seek(&stage, StartPosition::FromBeginning).await;
    let refused = stage
        .backend
        .delete_topic(&stage.topic, DeleteTopic::IfSettled)
        .await;
    assert_eq!(kind(refused), ErrorKind::WouldLoseMessages);
}

#[tokio::test]
async fn seeking_without_end_uses_old_indexes_again() {
    let stage = Stage::new().await;
    stage.join("other").await;
    let member = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    let first = take(&member, 1).await;
    member.done(&first[0]).await.unwrap();
    let mut index = member.subscription().group_index;
    let (original, mut again) = (index, false);
    for _ in 0..MAX_GROUPS {
        let moved = seek(&stage, StartPosition::FromBeginning).await.group_index;
        assert_ne!(moved, index);
        index = moved;
        again |= moved == original;
        assert_eq!(
            member
                .settle(&[Settlement::done(first[0].receipt)])
                .await
                .unwrap(),
            [Outcome::Stale]
        );
    }
    assert!(again);
    let record = stage
        .backend
        .accounting(&stage.topic, MessageId(0), 1)
        .await;
    assert_eq!(record.unwrap()[0].completed_at, None, "it is owed anew");
    assert_eq!(stage.pending("other").await, [1]);
}

#[tokio::test]
async fn a_seek_needs_a_free_index() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    for n in 1..MAX_GROUPS {
        let name = group(&format!("g{n}"));
        let subscribed = stage.backend.subscribe_from_now(&stage.topic, &name).await;
        subscribed.unwrap();
    }
    stage.publish(1, 1).await.unwrap();
    let held = take(&member, 1).await;
    let (topic, name, to) = (&stage.topic, &group("g"), StartPosition::FromNow);
    let refused = stage.backend.seek(topic, name, to).await;
    assert_eq!(kind(refused), ErrorKind::CapacityExceeded);
    member.done(&held[0]).await.unwrap();
    let gone = stage.backend.cancel(topic, &group("g7")).await.unwrap();
    let moved = stage.backend.seek(topic, name, to).await.unwrap();
    assert_eq!(moved.group_index, gone.group_index);
}
