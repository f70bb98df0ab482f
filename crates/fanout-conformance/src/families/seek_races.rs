//! Moving a group to another position while transactions are open and others are at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanout_core::{
    DeleteTopic, ErrorKind, MemberExt, MessageId, StartPosition, SubscriptionStatus, Transactional,
};

use super::seek::{owes, seek, stage};
use crate::Harness;
use crate::stage::{
    Fixture, LOST, STALE, Scene, both_orderings, fetch, ids, keyed, of_key, options, patient, take,
    together,
};

use StartPosition::{FromBeginning, FromMessage, FromNow};

pub(crate) async fn a_transaction_of_before_settles_nothing<H: Harness>(f: &Fixture<H>) {
    for (_, group, sent) in stage(f, 4).await {
        let member = group.member().await;
        let held = take(&*member, 4).await;
        let mut tx = f.begin().await;
        f.settle_in(&mut tx, &held[..2])
            .await
            .expect("they are held");
        seek(&group, FromBeginning).await;
        if let Err(error) = tx.commit().await {
            assert!(
                LOST.contains(&error.kind()),
                "it stands without effect, or learns that it is late: {error}"
            );
        }
        f.no_transaction_settles(
            &held[2..],
            STALE,
            "receipts of before are stale in transactions too",
        )
        .await;
        let promise = "what was in a transaction is owed again with all the rest";
        owes(&group, &*member, &sent, promise).await;
    }
}

pub(crate) async fn a_committed_settlement_is_undone_by_it<H: Harness>(f: &Fixture<H>) {
    for (_, group, sent) in stage(f, 4).await {
        let member = group.member().await;
        let held = take(&*member, 4).await;
        let mut tx = f.begin().await;
        f.settle_in(&mut tx, &held).await.expect("they are held");
        tx.commit().await.expect("it can be committed");
        // No upkeep between.
        seek(&group, FromMessage(sent[1])).await;
        let promise = "settled in a transaction or not, what is sought is owed again";
        owes(&group, &*member, &sent[1..], promise).await;
    }
}

pub(crate) async fn open_publishers_are_owed<H: Harness>(f: &Fixture<H>) {
    for (topic, group, sent) in stage(f, 3).await {
        group.drain().await;
        let member = group.member().await;
        for to in [FromNow, FromBeginning, FromMessage(MessageId(1_000_000))] {
            let mut tx = f.begin().await;
            let open = f.publish_all_in(&mut tx, &topic, of_key("c", 2)).await;
            let mut undone = f.begin().await;
            f.publish_all_in(&mut undone, &topic, of_key("c", 2)).await;
            let seen = topic.publish_all(of_key("c", 1)).await;
            seek(&group, to).await;
            undone.rollback().await.expect("it can be undone");
            tx.commit().await.expect("it can be committed");
            f.maintain_until_idle().await;
            let drained = ids(&group.drain_by(&*member).await);
            for id in open {
                assert_eq!(
                    drained.iter().filter(|other| **other == id).count(),
                    1,
                    "what commits after a seek is owed, whatever its id: {drained:?}"
                );
            }
            assert_eq!(
                [seen[0], sent[0]].map(|id| drained.contains(&id)),
                [to == FromBeginning; 2],
                "what committed before, where it lies above the position: {drained:?}"
            );
            assert_eq!(group.pending().await, [], "and all is settled");
        }
    }
}

pub(crate) async fn moves_meet_publishers_and_workers<H: Harness>(f: &Fixture<H>) {
    const PUBLISHERS: usize = 3;
    const WORKERS: usize = 4;
    let topic = f.topic("orders").await;
    let mut groups = Vec::new();
    for (name, options) in both_orderings() {
        groups.push(topic.group_with(name, patient(options)).await);
    }
    let done = Arc::new(AtomicUsize::new(0));
    let sent = together(PUBLISHERS + WORKERS + 2, |i| {
        let (backend, topic, done) = (f.backend.clone(), topic.clone(), done.clone());
        let group = groups[i % 2].clone();
        async move {
            let mut sent = Vec::new();
            let finished = || done.load(Ordering::SeqCst) == PUBLISHERS;
            if i < PUBLISHERS {
                let keys = [format!("a {i}"), format!("b {i}")];
                for _ in 0..12 {
                    let mut tx = backend.begin().await.expect("one can be begun");
                    let batch = keyed(&[&keys[0], &keys[1]]);
                    let published = backend.publish_in(tx.tx(), topic.name(), batch).await;
                    sent.extend(published.expect("a good batch is published"));
                    tokio::task::yield_now().await;
                    tx.commit().await.expect("it can be committed");
                }
                done.fetch_add(1, Ordering::SeqCst);
            } else if i < PUBLISHERS + WORKERS {
                let member = group.member().await;
                while !finished() {
                    let deliveries = fetch(&*member, 4).await;
                    let settled = member.done_all(&deliveries).await;
                    settled.expect("who is late is stale, and nothing goes wrong");
                }
                member.leave().await.expect("a member can leave");
            } else {
                // Each takes another bit, and a topic has so many of them.
                for _ in 0..10 {
                    for to in [FromNow, FromBeginning, FromMessage(MessageId(10))] {
                        seek(&group, to).await;
                    }
                    tokio::task::yield_now().await;
                    if finished() {
                        break;
                    }
                }
            }
            sent
        }
    })
    .await;
    let mut sent = sent.concat();
    sent.sort_unstable();
    for group in &groups {
        seek(group, FromBeginning).await;
        let member = group.member().await;
        owes(
            group,
            &*member,
            &sent,
            "the last seek owes everything, once",
        )
        .await;
    }
}

pub(crate) async fn a_seek_and_a_cancellation_meet(s: &Scene) {
    for round in 0..10 {
        let topic = s.topic(&format!("orders {round}")).await;
        let group = topic.group_with("billing", options()).await;
        topic.publish(3).await;
        together(2, |i| {
            let group = group.clone();
            async move {
                if i == 0 {
                    group.cancel().await.expect("a group can be cancelled");
                } else if let Err(error) = group.seek(FromBeginning).await {
                    assert_eq!(
                        error.kind(),
                        ErrorKind::InvalidTransition,
                        "who comes after the cancellation learns of it: {error}"
                    );
                }
            }
        })
        .await;
        s.maintain_until_idle().await;
        let read = group.subscription().await.expect("it is kept");
        assert_eq!(
            read.status,
            SubscriptionStatus::Cancelled,
            "a cancellation is final"
        );
        assert_eq!(group.pending().await, [], "and owes nothing");
        topic
            .delete(DeleteTopic::IfSettled)
            .await
            .expect("nor holds it the topic back");
    }
}
