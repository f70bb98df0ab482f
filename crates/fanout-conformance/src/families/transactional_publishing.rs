//! Publishing in the caller's transaction.

use std::panic::resume_unwind;
use std::time::Duration;

use fanout_core::{Error, ErrorKind, MessageId, Transactional, TransactionalExt};

use crate::Harness;
use crate::stage::{
    Fixture, TestGroup, TestTopic, ids, messages, refused, same_ids, settle_all, take, together,
    topic_name,
};

async fn topic_with_group<H: Harness>(f: &Fixture<H>) -> (TestTopic, TestGroup) {
    let topic = f.topic("orders").await;
    let group = topic.group("billing").await;
    (topic, group)
}

/// Asserts that nothing of the topic can be seen.
async fn invisible(topic: &TestTopic, group: &TestGroup, promise: &str) {
    group.nothing(promise).await;
    assert_eq!(group.pending().await, [], "{promise}");
    assert_eq!(group.stats().await.pending, 0, "{promise}");
    assert!(topic.accounting().await.is_empty(), "{promise}");
}

pub(crate) async fn nothing_is_delivered_before_the_commit<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let mut tx = f.begin().await;
    let sent = f.publish_in(&mut tx, &topic, 3).await;
    f.maintain().await;
    invisible(&topic, &group, "what is not committed is not delivered").await;
    tx.commit().await.expect("it can be committed");
    assert_eq!(group.pending().await, sent, "what is committed is owed");
    if f.tracks() {
        assert_eq!(topic.accounting().await.len(), 3, "and accounted for");
    }
    same_ids(
        ids(&group.drain().await),
        sent,
        "what is committed is delivered",
    );
}

pub(crate) async fn nothing_remains_after_a_rollback<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let promise = "nothing remains of a transaction that was undone";
    let mut tx = f.begin().await;
    f.publish_in(&mut tx, &topic, 3).await;
    tx.rollback().await.expect("it can be undone");
    f.maintain_until_idle().await;
    invisible(&topic, &group, promise).await;
    let sent = topic.publish(2).await;
    same_ids(ids(&group.drain().await), sent, promise);
}

pub(crate) async fn dropping_a_transaction_undoes_it<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let mut tx = f.begin().await;
    f.publish_in(&mut tx, &topic, 3).await;
    drop(tx);
    f.maintain_until_idle().await;
    let promise = "dropping a transaction undoes it";
    invisible(&topic, &group, promise).await;
    let sent = topic.publish(2).await;
    same_ids(ids(&group.drain().await), sent, promise);
}

pub(crate) async fn commits_out_of_the_order_of_ids_lose_nothing<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let member = group.member().await;
    let (mut early, mut late) = (f.begin().await, f.begin().await);
    let low = f.publish_in(&mut early, &topic, 2).await;
    let high = f.publish_in(&mut late, &topic, 2).await;
    let between = topic.publish(1).await;
    late.commit().await.expect("it can be committed");
    let delivered = take(&*member, 3).await;
    same_ids(
        ids(&delivered),
        high.into_iter().chain(between),
        "an open transaction keeps nothing from delivery, whatever its ids",
    );
    settle_all(&*member, &delivered).await;
    f.maintain_until_idle().await;
    early.commit().await.expect("it can be committed");
    same_ids(
        ids(&take(&*member, 2).await),
        low,
        "a message with a low id that commits late is delivered",
    );
}

pub(crate) async fn concurrent_transactions_lose_nothing<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let results = together(12, |i| {
        let (backend, topic) = (f.backend.clone(), topic.clone());
        async move {
            let mut committed = Vec::new();
            for round in 0..8 {
                let mut tx = backend.begin().await.expect("one can be begun");
                let mut sent = Vec::new();
                for _ in 0..2 {
                    let ids = backend
                        .publish_in(tx.tx(), topic.name(), messages(2))
                        .await
                        .expect("a good batch is published");
                    sent.extend(ids);
                    // So that transactions overlap.
                    tokio::task::yield_now().await;
                }
                if (i + round) % 3 == 0 {
                    tx.rollback().await.expect("it can be undone");
                } else {
                    tx.commit().await.expect("it can be committed");
                    committed.extend(sent);
                }
            }
            committed
        }
    });
    let drained = async {
        let mut drained = Vec::new();
        while drained.len() < 12 {
            drained.extend(ids(&group.drain().await));
        }
        drained
    };
    let (committed, mut drained) = tokio::join!(results, drained);
    drained.extend(ids(&group.drain().await));
    same_ids(
        drained,
        committed.into_iter().flatten(),
        "exactly what committed is delivered, once, in whatever order it committed",
    );
}

pub(crate) async fn a_transaction_may_publish_often_and_anywhere<H: Harness>(f: &Fixture<H>) {
    let (orders, returns) = (f.topic("orders").await, f.topic("returns").await);
    let (a, b) = (orders.group("a").await, returns.group("b").await);
    for commit in [false, true] {
        let mut tx = f.begin().await;
        let mut first = f.publish_in(&mut tx, &orders, 2).await;
        let second = f.publish_in(&mut tx, &returns, 1).await;
        first.extend(f.publish_in(&mut tx, &orders, 3).await);
        assert!(
            first.is_sorted_by(|a, b| a < b),
            "ids increase from publish to publish of a transaction: {first:?}"
        );
        if commit {
            tx.commit().await.expect("it can be committed");
            same_ids(ids(&a.drain().await), first, "all of it is delivered");
            same_ids(ids(&b.drain().await), second, "in every topic");
        } else {
            tx.rollback().await.expect("it can be undone");
            invisible(&orders, &a, "nothing of it is delivered").await;
            invisible(&returns, &b, "in any topic").await;
        }
    }
}

pub(crate) async fn a_message_is_dated_when_it_is_published<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let published_at = f.now();
    let mut tx = f.begin().await;
    f.publish_in(&mut tx, &topic, 1).await;
    f.advance(Duration::from_secs(60));
    tx.commit().await.expect("it can be committed");
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    assert_eq!(
        delivery.message.created_at, published_at,
        "a message is dated when it is written, before its transaction commits"
    );
}

pub(crate) async fn a_bad_batch_fails_in_a_transaction_too<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let unknown = topic_name("unknown");
    let bad = [
        (topic.name(), vec![], ErrorKind::InvalidInput),
        (&unknown, messages(1), ErrorKind::TopicNotFound),
        (&unknown, vec![], ErrorKind::InvalidInput),
    ];
    for (name, batch, kind) in bad {
        let mut tx = f.begin().await;
        f.publish_in(&mut tx, &topic, 1).await;
        let published = f.backend.publish_in(tx.tx(), name, batch).await;
        refused(published, &[kind], "a publish that is wrong is refused");
        tx.rollback().await.expect("it can be undone");
    }
    invisible(&topic, &group, "after the rollback nothing remains").await;
}

pub(crate) async fn an_open_publish_makes_nobody_wait<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let mut tx = f.begin().await;
    let open = f.publish_in(&mut tx, &topic, 2).await;

    // None of these may wait for the transaction: it ends only after them.
    let sent = topic.publish(3).await;
    let mut second = f.begin().await;
    let more = f.publish_in(&mut second, &topic, 1).await;
    second.commit().await.expect("it can be committed");
    let all = sent.into_iter().chain(more);
    same_ids(
        ids(&group.drain().await),
        all,
        "others publish, fetch and settle while a transaction is open",
    );
    let late = topic.group("late").await;
    late.pause().await.expect("a group can be paused meanwhile");
    late.resume().await.expect("and resumed");
    let brief = topic.group("brief").await;
    brief.cancel().await.expect("and cancelled");
    f.maintain().await;
    f.topic("another").await;

    tx.commit().await.expect("it can be committed");
    same_ids(
        ids(&group.drain().await),
        open,
        "and then the transaction's own messages are delivered",
    );
}

pub(crate) async fn work_that_succeeds_is_committed<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let sent = f
        .backend
        .with_tx(async |tx| {
            let mut ids = f.backend.publish_in(tx, topic.name(), messages(1)).await?;
            ids.extend(f.backend.publish_in(tx, topic.name(), messages(2)).await?);
            Ok::<_, Error>(ids)
        })
        .await
        .expect("work that succeeds is committed");
    same_ids(ids(&group.drain().await), sent, "and stands");
}

/// An error of the caller's own.
#[derive(Debug)]
enum Failure {
    Own(&'static str),
    Engine(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

pub(crate) async fn work_that_fails_is_undone<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let result: Result<Vec<MessageId>, Failure> = f
        .backend
        .with_tx(async |tx| {
            f.backend.publish_in(tx, topic.name(), messages(2)).await?;
            Err(Failure::Own("changed my mind"))
        })
        .await;
    match result {
        Err(Failure::Own("changed my mind")) => {}
        other => panic!("the error of the work itself comes back, not {other:?}"),
    }
    let result: Result<Vec<MessageId>, Failure> = f
        .backend
        .with_tx(async |tx| Ok(f.backend.publish_in(tx, topic.name(), vec![]).await?))
        .await;
    match result {
        Err(Failure::Engine(error)) => assert_eq!(
            error.kind(),
            ErrorKind::InvalidInput,
            "so does that of a call in it: {error}"
        ),
        other => panic!("an error of a call comes back, not {other:?}"),
    }
    invisible(&topic, &group, "work that fails is undone").await;
}

pub(crate) async fn work_that_panics_is_undone<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = topic_with_group(f).await;
    let (backend, name) = (f.backend.clone(), topic.name().clone());
    let task = tokio::spawn(async move {
        let mut tx = backend.begin().await.expect("one can be begun");
        let sent = backend.publish_in(tx.tx(), &name, messages(2)).await;
        sent.expect("a good batch is published");
        // As a panic, without its report on the console.
        resume_unwind(Box::new("a bug of the caller"));
    });
    let error = task.await.expect_err("the work panics");
    assert!(error.is_panic(), "the work panics: {error}");
    f.maintain_until_idle().await;
    invisible(&topic, &group, "work that panics is undone").await;
    let sent = topic.publish(1).await;
    same_ids(ids(&group.drain().await), sent, "and the engine works on");
}
