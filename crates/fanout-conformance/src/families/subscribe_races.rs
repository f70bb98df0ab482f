//! Subscribing against publishing: a group is owed what commits after its subscribe returned, and
//! nothing that committed before it was called.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanout_core::{MessageId, Transactional};

use crate::Harness;
use crate::stage::{
    Fixture, TestGroup, fetch, ids, messages, options, same_ids, settle_all, together,
};

pub(crate) async fn open_publish_then_subscribe_then_commit<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let early = topic.group("early").await;
    let mut tx = f.begin().await;
    let sent = f.publish_in(&mut tx, &topic, 2).await;
    let late = topic.group("late").await;
    tx.commit().await.expect("it can be committed");
    for group in [&late, &early] {
        same_ids(
            ids(&group.drain().await),
            sent.clone(),
            "what commits after a subscribe is owed, whenever it was published",
        );
        assert_eq!(group.pending().await, [], "and is settled");
    }
    f.maintain_until_idle().await;
    same_ids(ids(&late.drain().await), [], "and is not delivered again");
}

pub(crate) async fn begin_then_subscribe_then_publish_then_commit<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let mut tx = f.begin().await;
    let group = topic.group("billing").await;
    let sent = f.publish_in(&mut tx, &topic, 2).await;
    tx.commit().await.expect("it can be committed");
    same_ids(
        ids(&group.drain().await),
        sent,
        "what is published after a subscribe is owed, whenever its transaction began",
    );
}

pub(crate) async fn open_publish_then_subscribe_then_rollback<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let mut tx = f.begin().await;
    f.publish_in(&mut tx, &topic, 2).await;
    let group = topic.group("billing").await;
    tx.rollback().await.expect("it can be undone");
    assert_eq!(
        ids(&group.drain().await),
        [],
        "what is undone is owed to nobody"
    );
    f.maintain_until_idle().await;
    let sent = topic.publish(2).await;
    same_ids(ids(&group.drain().await), sent, "what is published then is");
}

pub(crate) async fn publish_on_both_sides_of_a_subscribe<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let committed = topic.publish(2).await;
    let mut tx = f.begin().await;
    let mut sent = f.publish_in(&mut tx, &topic, 2).await;
    let group = topic.group("billing").await;
    sent.extend(f.publish_in(&mut tx, &topic, 2).await);
    let plain = topic.publish(1).await;
    tx.commit().await.expect("it can be committed");
    let drained = ids(&group.drain().await);
    assert!(
        committed.iter().all(|id| !drained.contains(id)),
        "what committed before a subscribe is not owed"
    );
    same_ids(
        drained,
        sent.into_iter().chain(plain),
        "a transaction that commits after a subscribe is owed as a whole",
    );
}

pub(crate) async fn fetching_alone_finds_what_commits_late<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let mut tx = f.begin().await;
    let sent = f.publish_in(&mut tx, &topic, 3).await;
    let group = topic.group("billing").await;
    let member = group.member().await;
    assert_eq!(fetch(&*member, 10).await, [], "nothing is committed yet");
    tx.commit().await.expect("it can be committed");
    let mut drained = Vec::new();
    for _ in 0..50 {
        let deliveries = fetch(&*member, 10).await;
        settle_all(&*member, &deliveries).await;
        drained.extend(ids(&deliveries));
        f.advance(std::time::Duration::from_secs(1));
    }
    same_ids(
        drained,
        sent,
        "repeated fetches return all that is owed, without anybody's maintenance",
    );
}

pub(crate) async fn several_groups_subscribe_while_a_publish_is_open<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let mut first = f.begin().await;
    let one = f.publish_in(&mut first, &topic, 1).await;
    let a = topic.group("a").await;
    let mut second = f.begin().await;
    let two = f.publish_in(&mut second, &topic, 1).await;
    let b = topic.group("b").await;
    second.commit().await.expect("it can be committed");
    let c = topic.group("c").await;
    let cancelled = topic.group("cancelled").await;
    cancelled.cancel().await.expect("it can be cancelled");
    first.commit().await.expect("it can be committed");
    let both: Vec<_> = one.iter().chain(&two).copied().collect();
    for (group, expected) in [(&a, &both), (&b, &both), (&c, &one)] {
        same_ids(
            ids(&group.drain().await),
            expected.clone(),
            "each group is owed what commits after its own subscribe",
        );
    }
    f.maintain_until_idle().await;
    let promise = "the records name those that were owed a message, and they have settled it";
    topic.completed_by(one[0], &[&a, &b, &c], promise).await;
    topic.completed_by(two[0], &[&a, &b], promise).await;
    topic.complete(&both, promise).await;
}

pub(crate) async fn a_cancelled_groups_next_subscription_meets_an_open_publish<H: Harness>(
    f: &Fixture<H>,
) {
    let topic = f.topic("orders").await;
    let group = topic.group("billing").await;
    let mut tx = f.begin().await;
    let sent = f.publish_in(&mut tx, &topic, 2).await;
    group.cancel().await.expect("it can be cancelled");
    group
        .subscribe(options())
        .await
        .expect("and subscribe anew");
    tx.commit().await.expect("it can be committed");
    same_ids(
        ids(&group.drain().await),
        sent,
        "what commits after the new subscribe is owed to it, once",
    );
    f.maintain_until_idle().await;
    assert_eq!(group.pending().await, [], "and is settled");
}

/// When something began and when it had returned, on one scale.
#[derive(Clone, Copy, Debug)]
struct Span {
    began: usize,
    returned: usize,
}

/// A message and when its commit took place.
#[derive(Clone, Copy, Debug)]
struct Sent {
    id: MessageId,
    commit: Span,
}

enum Done {
    Published(Vec<Sent>),
    Subscribed(TestGroup, Span),
}

const PLAIN: usize = 4;
const IN_TX: usize = 4;
const SUBSCRIBERS: usize = 8;
const ROUNDS: usize = 20;

pub(crate) async fn f5_what_commits_after_a_subscribe_is_owed_and_nothing_before<H: Harness>(
    f: &Fixture<H>,
) {
    let topic = f.topic("orders").await;
    let time = Arc::new(AtomicUsize::new(0));
    let commits = Arc::new(AtomicUsize::new(0));
    let done = together(PLAIN + IN_TX + SUBSCRIBERS, |i| {
        let (backend, topic) = (f.backend.clone(), topic.clone());
        let (time, commits) = (time.clone(), commits.clone());
        async move {
            let tick = || time.fetch_add(1, Ordering::SeqCst);
            if i < SUBSCRIBERS {
                // Spread over the publishers' work.
                let total = (PLAIN + IN_TX) * ROUNDS;
                while commits.load(Ordering::SeqCst) < total * i / SUBSCRIBERS {
                    tokio::task::yield_now().await;
                }
                let began = tick();
                let group = topic.group(&format!("group {i}")).await;
                let returned = tick();
                return Done::Subscribed(group, Span { began, returned });
            }
            let mut sent = Vec::new();
            for round in 0..ROUNDS {
                let (began, ids) = if i < SUBSCRIBERS + PLAIN {
                    (tick(), topic.publish(2).await)
                } else {
                    let mut tx = backend.begin().await.expect("one can be begun");
                    let ids = backend
                        .publish_in(tx.tx(), topic.name(), messages(2))
                        .await
                        .expect("a good batch is published");
                    // Some are held open until others have committed meanwhile.
                    let until = commits.load(Ordering::SeqCst) + round % 4 * PLAIN;
                    let last = PLAIN * ROUNDS;
                    while commits.load(Ordering::SeqCst) < until.min(last) {
                        tokio::task::yield_now().await;
                    }
                    let began = tick();
                    tx.commit().await.expect("it can be committed");
                    (began, ids)
                };
                let returned = tick();
                commits.fetch_add(1, Ordering::SeqCst);
                let commit = Span { began, returned };
                sent.extend(ids.into_iter().map(|id| Sent { id, commit }));
            }
            Done::Published(sent)
        }
    })
    .await;
    let (mut sent, mut groups) = (Vec::new(), Vec::new());
    for done in done {
        match done {
            Done::Published(messages) => sent.extend(messages),
            Done::Subscribed(group, span) => groups.push((group, span)),
        }
    }
    for (group, subscribe) in groups {
        let drained = ids(&group.drain().await);
        assert_eq!(group.pending().await, [], "what a group owes drains");
        let owed: BTreeSet<_> = drained.iter().copied().collect();
        assert_eq!(owed.len(), drained.len(), "no message is delivered twice");
        for Sent { id, commit } in &sent {
            if commit.began > subscribe.returned {
                assert!(
                    owed.contains(id),
                    "what commits after a subscribe returned is owed: message {id} \
                     ({commit:?}) to {group:?} ({subscribe:?})"
                );
            }
            if commit.returned < subscribe.began {
                assert!(
                    !owed.contains(id),
                    "what committed before a subscribe was called is not owed: message {id} \
                     ({commit:?}) to {group:?} ({subscribe:?})"
                );
            }
        }
        f.maintain_until_idle().await;
        assert_eq!(
            ids(&group.drain().await),
            [],
            "upkeep brings no message a second time"
        );
        // Empty where messages are not tracked.
        for (id, record) in topic.accounting().await {
            assert_eq!(
                record.completed.contains(group.name()),
                owed.contains(&id),
                "the records name exactly what the group settled: {record:?}"
            );
        }
    }
}
