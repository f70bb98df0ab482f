//! Calls of different kinds at the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fanout_core::{DeleteTopic, ErrorKind, MemberExt, SubscriptionStatus, Transactional};

use crate::Harness;
use crate::stage::{
    Fixture, Scene, begin_waiting, fetch, ids, join_all, messages, options, same_ids, settle_all,
    take, take_all, together,
};

pub(crate) async fn concurrent_subscribes_of_a_group_make_one(s: &Scene) {
    let topic = s.topic("orders").await;
    let made = together(8, |_| {
        let group = topic.at("billing");
        async move {
            let made = group.subscribe(options()).await;
            made.expect("a group may subscribe from several processes at once")
        }
    })
    .await;
    assert!(
        made.iter()
            .all(|m| m.id == made[0].id && m.group_index == made[0].group_index),
        "one call makes the subscription, the others find it: {made:?}"
    );
    let listed = s.backend.subscriptions(topic.name()).await;
    assert_eq!(
        listed.expect("subscriptions can be listed").len(),
        1,
        "there is one subscription"
    );
    let id = topic.publish(1).await[0];
    same_ids(
        ids(&topic.at("billing").drain().await),
        [id],
        "and it is delivered each message once",
    );
}

pub(crate) async fn concurrent_subscribes_after_a_cancellation_make_one(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let old = group.subscription().await.expect("it is subscribed");
    topic.publish(2).await;
    group.cancel().await.expect("it can be cancelled");
    let made = together(8, |_| {
        let group = group.clone();
        async move {
            let made = group.subscribe(options()).await;
            made.expect("a group may subscribe from several processes at once")
        }
    })
    .await;
    assert!(
        made[0].id != old.id && made.iter().all(|made2| made2.id == made[0].id),
        "one call makes the new subscription, the others find it: {made:?}"
    );
    assert_eq!(group.pending().await, [], "it owes nothing of before");
}

pub(crate) async fn a_cancellation_meets_publishers<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let stays = topic.group("stays").await;
    let goes = topic.groups(4).await;
    let published = Arc::new(AtomicUsize::new(0));
    let sent = together(8, |i| {
        let (backend, topic) = (f.backend.clone(), topic.clone());
        let (goes, published) = (goes.clone(), published.clone());
        async move {
            let mut sent = Vec::new();
            if i < 4 {
                // Cancels in the midst of the publishers' work.
                while published.load(Ordering::SeqCst) < 5 * (i + 1) {
                    tokio::task::yield_now().await;
                }
                goes[i].cancel().await.expect("a group can be cancelled");
                return sent;
            }
            for round in 0..15 {
                if (i + round) % 2 == 0 {
                    sent.extend(topic.publish(2).await);
                } else {
                    let mut tx = backend.begin().await.expect("one can be begun");
                    let ids = backend
                        .publish_in(tx.tx(), topic.name(), messages(2))
                        .await
                        .expect("a good batch is published");
                    tx.commit().await.expect("it can be committed");
                    sent.extend(ids);
                }
                published.fetch_add(1, Ordering::SeqCst);
            }
            sent
        }
    })
    .await;
    f.maintain_until_idle().await;
    for group in &goes {
        assert_eq!(
            group.pending().await,
            [],
            "a cancelled group owes nothing, whoever was publishing"
        );
    }
    let cancelled: Vec<_> = goes.iter().map(|group| group.name()).collect();
    for (id, record) in topic.accounting().await {
        let unsettled = record.required.difference(&record.completed);
        assert!(
            unsettled.clone().all(|name| !cancelled.contains(&name)),
            "no cancelled group is waited for at message {id}: {record:?}"
        );
    }
    same_ids(
        ids(&stays.drain().await),
        sent.into_iter().flatten(),
        "another group gets everything once",
    );
    topic
        .delete(DeleteTopic::IfSettled)
        .await
        .expect("cancelled groups do not keep a topic");
}

pub(crate) async fn a_cancellation_meets_settlements(s: &Scene) {
    let topic = s.topic("orders").await;
    let (goes, stays) = (topic.group("goes").await, topic.group("stays").await);
    let sent = topic.publish(60).await;
    let settled = Arc::new(AtomicUsize::new(0));
    let members = goes.members(3).await;
    together(7, |i| {
        let (goes, stays, settled) = (goes.clone(), stays.clone(), settled.clone());
        let members = members.clone();
        async move {
            match i {
                0 => {
                    while settled.load(Ordering::SeqCst) < 10 {
                        tokio::task::yield_now().await;
                    }
                    goes.cancel().await.expect("a group can be cancelled");
                }
                1..=3 => {
                    let member = &members[i - 1];
                    loop {
                        tokio::task::yield_now().await;
                        let deliveries = match member.fetch(4).await {
                            Ok(fetched) => fetched.deliveries,
                            Err(error) => {
                                assert_eq!(
                                    error.kind(),
                                    ErrorKind::SubscriptionEnded,
                                    "members of a cancelled group learn that it ended: {error}"
                                );
                                return;
                            }
                        };
                        let count = member.done_all(&deliveries).await;
                        let count = count.expect("settling meanwhile is no error, but stale");
                        settled.fetch_add(count.max(1), Ordering::SeqCst);
                    }
                }
                _ => {
                    let member = stays.member().await;
                    while !stays.pending().await.is_empty() {
                        let deliveries = fetch(&*member, 4).await;
                        settle_all(&*member, &deliveries).await;
                    }
                }
            }
        }
    })
    .await;
    s.maintain_until_idle().await;
    assert_eq!(goes.pending().await, [], "the cancelled group owes nothing");
    let promise = "the other group's accounting is what it did, and complete";
    assert_eq!(stays.pending().await, [], "{promise}");
    topic.complete(&sent, promise).await;
}

pub(crate) async fn a_pause_meets_fetches(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let sent = topic.publish(80).await;
    let (taken, paused) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let held = together(5, |i| {
        let (group, taken, paused) = (group.clone(), taken.clone(), paused.clone());
        async move {
            let mut held = Vec::new();
            if i == 0 {
                while taken.load(Ordering::SeqCst) < 20 {
                    tokio::task::yield_now().await;
                }
                group.pause().await.expect("an active group can be paused");
                paused.store(true, Ordering::SeqCst);
                return held;
            }
            let member = group.member().await;
            loop {
                let before = paused.load(Ordering::SeqCst);
                let deliveries = fetch(&*member, 2).await;
                assert!(
                    !before || deliveries.is_empty(),
                    "a fetch that begins after the pause returned delivers nothing"
                );
                taken.fetch_add(deliveries.len().max(1), Ordering::SeqCst);
                held.extend(deliveries);
                if before {
                    return held;
                }
            }
        }
    })
    .await;
    let held: Vec<_> = held.into_iter().flatten().collect();
    let member = group.member().await;
    settle_all(&*member, &held).await;
    group.resume().await.expect("a paused group can be resumed");
    let rest = group.drain_for_good().await;
    same_ids(
        ids(&held).into_iter().chain(ids(&rest)),
        sent,
        "before and after the pause each message is delivered once",
    );
}

pub(crate) async fn a_deletion_meets_publishers(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let results = together(5, |i| {
        let topic = topic.clone();
        async move {
            if i == 0 {
                let deleted = topic.delete(DeleteTopic::IfSettled).await;
                return deleted.map(|()| 0);
            }
            topic.try_publish(messages(2)).await.map(|ids| ids.len())
        }
    })
    .await;
    let published: usize = results[1..].iter().flatten().sum();
    match &results[0] {
        Ok(_) => assert_eq!(
            published, 0,
            "a deletion that is not forced loses nothing that was published"
        ),
        Err(error) => {
            assert_eq!(
                error.kind(),
                ErrorKind::WouldLoseMessages,
                "a deletion is refused for the messages only: {error}"
            );
            assert_eq!(
                group.pending().await.len(),
                published,
                "a refused deletion changes nothing"
            );
        }
    }
    for result in &results[1..] {
        if let Err(error) = result {
            assert_eq!(
                error.kind(),
                ErrorKind::TopicNotFound,
                "who comes after the deletion learns of it: {error}"
            );
        }
    }
}

pub(crate) async fn a_deletion_meets_an_open_publish<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group("billing").await;
    let mut tx = f.begin().await;
    let sent = f.publish_in(&mut tx, &topic, 2).await;
    // It may have to wait for the transaction, so it needs a task of its own.
    let deletion = {
        let topic = topic.clone();
        begin_waiting(async move { topic.delete(DeleteTopic::IfSettled).await }).await
    };
    let committed = tx.commit().await;
    let deleted = deletion.await.expect("the deletion does not panic");
    assert!(
        committed.is_err() || deleted.is_err(),
        "a deletion that is not forced and a publish do not both succeed"
    );
    if committed.is_ok() {
        same_ids(
            ids(&group.drain().await),
            sent,
            "what was committed is delivered",
        );
    }
}

pub(crate) async fn changes_of_status_meet(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let sent = topic.publish(10).await;
    together(6, |i| {
        let group = group.clone();
        async move {
            for _ in 0..5 {
                let changed = match i % 3 {
                    0 => group.pause().await,
                    1 => group.resume().await,
                    _ => group.heartbeat().await,
                };
                changed.expect("a live group can be paused, resumed and beaten for at any time");
            }
        }
    })
    .await;
    group.resume().await.expect("a live group can be resumed");
    let read = group.subscription().await.expect("it is subscribed");
    assert_eq!(
        read.status,
        SubscriptionStatus::Active,
        "the last change stands"
    );
    same_ids(ids(&group.drain().await), sent, "and nothing was lost");
}

pub(crate) async fn a_release_meets_other_members(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let sent = topic.publish(12).await;
    let tasks = (0..4).map(|i| {
        let group = group.clone();
        tokio::spawn(async move {
            let mut member = group.member().await;
            let mut settled = Vec::new();
            let mut turn = i;
            loop {
                let deliveries = fetch(&*member, 3).await;
                if deliveries.is_empty() {
                    if group.pending().await.is_empty() {
                        break;
                    }
                    continue;
                }
                turn += 1;
                match turn % 3 {
                    0 => {
                        for delivery in &deliveries {
                            member.release(delivery).await.expect("it is held");
                        }
                    }
                    1 => {
                        member.leave().await.expect("a member can leave");
                        member = group.member().await;
                    }
                    _ => {
                        settle_all(&*member, &deliveries).await;
                        settled.extend(ids(&deliveries));
                    }
                }
            }
            settled
        })
    });
    let settled = join_all(tasks.collect()).await;
    same_ids(
        settled.into_iter().flatten(),
        sent,
        "messages that go from hand to hand are settled once each",
    );
}

pub(crate) async fn an_extension_meets_the_end_of_the_lease(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(20).await;
    let one = group.member().await;
    let held = take(&*one, 20).await;
    let two = group.member().await;
    s.clock.set(held[0].until);
    let receipts: Vec<_> = held.iter().map(|d| d.receipt).collect();
    let extending = tokio::spawn(async move {
        let extended = one.extend(&receipts, crate::stage::LEASE).await;
        extended.expect("they are the member's own")
    });
    let taking = tokio::spawn(async move { take_all(&*two).await });
    let extended = extending.await.expect("it does not panic");
    let taken = taking.await.expect("it does not panic");
    let kept = held
        .iter()
        .zip(extended)
        .filter(|(_, extension)| *extension != fanout_core::Extension::Stale)
        .map(|(delivery, _)| delivery.message.id);
    same_ids(
        kept.chain(ids(&taken)),
        ids(&held),
        "of an extension and a new delivery of a message one succeeds",
    );
}

pub(crate) async fn failures_of_a_message_count_once(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(1).await;
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    let outcomes = together(6, |_| {
        let (member, receipt) = (member.clone(), delivery.receipt);
        async move {
            let failure = fanout_core::Settlement::fail(receipt, "no");
            let outcomes = member.settle(&[failure]).await;
            outcomes.expect("stale is no error of the call")[0]
        }
    })
    .await;
    let effective = outcomes.iter().filter(|outcome| outcome.is_effective());
    assert_eq!(effective.count(), 1, "a delivery fails once: {outcomes:?}");
    s.advance(crate::stage::LEASE);
    assert_eq!(
        take(&*member, 1).await[0].attempt,
        2,
        "and that is one attempt"
    );
}
