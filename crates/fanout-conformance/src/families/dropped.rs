//! Dropping the future of a call: the engine works on, and nothing is half done.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use fanout_core::{
    BackendExt, DeleteTopic, Delivery, Error, ErrorKind, MemberExt, NewMessage, Outcome,
    Settlement, Transactional, TransactionalExt,
};
use tokio::sync::Notify;

use crate::Harness;
use crate::stage::{
    Cut, Fixture, LOST, Scene, TestGroup, TestTopic, at_every_cut, cut, fetch, ids, messages,
    options, patient, receipts, same_ids, settle_all, take, topic_name,
};

/// More often than an engine has connections.
const OFTEN: usize = 60;

fn batch(name: &str) -> Vec<NewMessage> {
    vec![NewMessage::new(name.to_owned()); 3]
}

/// How often each payload was delivered.
fn payloads(deliveries: &[Delivery]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for delivery in deliveries {
        let payload = String::from_utf8_lossy(&delivery.message.payload).into_owned();
        *counts.entry(payload).or_default() += 1;
    }
    counts
}

/// Asserts that all of the topic can be used, and that its accounting adds up.
async fn sound(topic: &TestTopic, group: &TestGroup) {
    let sent = topic.publish(2).await;
    let drained = ids(&group.drain_for_good().await);
    assert!(
        sent.iter().all(|id| drained.contains(id)),
        "the engine works on after calls were dropped"
    );
    let stats = group.stats().await;
    assert_eq!(
        (stats.pending, stats.in_flight, stats.delayed),
        (0, 0, 0),
        "after calls were dropped everything drains: {stats:?}"
    );
    for (id, record) in topic.accounting().await {
        assert_eq!(
            record.completed.contains(group.name()),
            record.required.contains(group.name()),
            "after calls were dropped the accounting adds up at message {id}: {record:?}"
        );
    }
}

pub(crate) async fn a_dropped_publish_is_whole_or_nothing(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    let mut completed = Vec::new();
    at_every_cut(async |at| {
        let name = format!("{at:?}");
        let published = cut(topic.try_publish(batch(&name)), at).await;
        let Some(published) = published else {
            return false;
        };
        published.expect("a good batch is published");
        completed.push(name);
        true
    })
    .await;
    let delivered = payloads(&group.drain_for_good().await);
    assert!(
        delivered.values().all(|count| *count == 3),
        "all of a batch is stored, or none of it: {delivered:?}"
    );
    assert!(
        completed.iter().all(|name| delivered.contains_key(name)),
        "what returned Ok is stored"
    );
    sound(&topic, &group).await;
}

pub(crate) async fn a_dropped_fetch_loses_nothing(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    let sent = topic.publish(30).await;
    let member = group.member().await;
    at_every_cut(async |at| {
        let fetched = cut(member.fetch(2), at).await;
        let Some(fetched) = fetched else { return false };
        fetched.expect("a member can fetch after dropped fetches");
        true
    })
    .await;
    assert_eq!(group.pending().await, sent, "a fetch settles nothing");
    let drained = group.drain_for_good().await;
    same_ids(
        ids(&drained),
        sent,
        "what a dropped fetch took is delivered again after the lease",
    );
    assert!(
        drained.iter().all(|d| d.attempt == 1),
        "a dropped fetch is no failed attempt"
    );
    sound(&topic, &group).await;
}

pub(crate) async fn dropped_fetches_give_no_message_to_two_members(s: &Scene) {
    let topic = s.topic("orders").await;
    at_every_cut(async |at| {
        let group = topic
            .group_with(&format!("{at:?}"), patient(options()))
            .await;
        topic.publish(32).await;
        let one = group.member().await;
        let mut taken = ids(&fetch(&*one, 1).await);
        let two = group.member().await;
        taken.extend(ids(&fetch(&*two, 1).await));
        // In it the first makes room for the second.
        let fetched = cut(one.fetch(1), at).await;
        let completed = fetched.is_some();
        if let Some(fetched) = fetched {
            taken.extend(ids(&fetched.expect("a member can fetch").deliveries));
        }
        for member in [&two, &one, &two, &one] {
            taken.extend(ids(&fetch(&**member, 32).await));
        }
        taken.sort_unstable();
        let all = taken.len();
        taken.dedup();
        assert_eq!(taken.len(), all, "a message in hand goes to nobody else");
        one.leave().await.expect("a member can leave");
        two.leave().await.expect("a member can leave");
        completed
    })
    .await;
}

pub(crate) async fn who_leaves_after_a_dropped_fetch_keeps_nothing(s: &Scene) {
    let topic = s.topic("orders").await;
    at_every_cut(async |at| {
        let group = topic
            .group_with(&format!("{at:?}"), patient(options()))
            .await;
        let sent = topic.publish(16).await;
        let one = group.member().await;
        let completed = cut(one.fetch(4), at).await.is_some();
        one.leave().await.expect("a member can leave");
        // Where each message has a lease of its own, the member may not know of all that it took.
        let free = if s.tracks() { 12 } else { 16 };
        let two = group.member().await;
        let taken = ids(&take(&*two, free).await);
        assert!(
            taken.iter().all(|id| sent.contains(id)),
            "what a member that left has not taken goes to others without a wait"
        );
        completed
    })
    .await;
}

pub(crate) async fn a_dropped_settlement_stands_or_not(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    let other = topic.group_with("other", patient(options())).await;
    at_every_cut(async |at| {
        topic.publish(3).await;
        let member = group.member().await;
        let held = take(&*member, 3).await;
        let settlements = [
            Settlement::done(held[0].receipt),
            Settlement::skip(held[1].receipt),
            Settlement::fail(held[2].receipt, "no"),
        ];
        let outcomes = cut(member.settle(&settlements), at).await;
        drop(member);
        s.lapse();
        let again = group.drain_for_good().await;
        let Some(outcomes) = outcomes else {
            return false;
        };
        let outcomes = outcomes.expect("a member can settle after dropped settlements");
        assert!(
            outcomes.iter().all(|outcome| outcome.is_effective()),
            "each settlement takes effect: {outcomes:?}"
        );
        same_ids(
            ids(&again),
            ids(&held[2..]),
            "what was reported as settled is not delivered again",
        );
        true
    })
    .await;
    sound(&topic, &group).await;
    sound(&topic, &other).await;
}

pub(crate) async fn a_dropped_failure_counts_once_or_not(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    at_every_cut(async |at| {
        let id = topic.publish(1).await[0];
        let member = group.member().await;
        let delivery = take(&*member, 1).await.remove(0);
        let outcome = cut(member.fail(&delivery, "no"), at).await;
        if let Some(outcome) = &outcome {
            assert!(
                matches!(outcome, Ok(Outcome::Retry { .. })),
                "a first failure is tried again: {outcome:?}"
            );
        }
        s.lapse();
        let drained = group.drain_for_good().await;
        same_ids(ids(&drained), [id], "a failed message is delivered again");
        let failed = drained[0].attempt == 2;
        assert!(
            drained[0].attempt <= 2 && (failed || outcome.is_none()),
            "a failure that was reported counts; none counts twice"
        );
        outcome.is_some()
    })
    .await;
    sound(&topic, &group).await;
}

pub(crate) async fn a_dropped_subscribe_can_be_repeated(s: &Scene) {
    let topic = s.topic("orders").await;
    let mut groups = Vec::new();
    at_every_cut(async |at| {
        let group = topic.at(&format!("{at:?}"));
        let made = cut(group.subscribe(patient(options())), at).await;
        let completed = made.is_some();
        let again = group.subscribe(patient(options())).await;
        let again = again.expect("a group can subscribe after a dropped subscribe");
        if let Some(made) = made {
            let made = made.expect("a group can subscribe");
            assert_eq!(made.id, again.id, "a subscription that was made is found");
        }
        groups.push((group, topic.publish(1).await));
        completed
    })
    .await;
    let listed = s.backend.subscriptions(topic.name()).await;
    assert_eq!(
        listed.expect("subscriptions can be listed").len(),
        groups.len(),
        "each group has one subscription"
    );
    let sent: Vec<_> = groups.iter().flat_map(|(_, sent)| sent.clone()).collect();
    for (i, (group, _)) in groups.iter().enumerate() {
        same_ids(
            ids(&group.drain_for_good().await),
            sent[i..].to_vec(),
            "and is owed what was published after it",
        );
    }
    sound(&topic, &groups[0].0).await;
}

pub(crate) async fn a_dropped_cancellation_can_be_repeated(s: &Scene) {
    let topic = s.topic("orders").await;
    let stays = topic.group_with("stays", patient(options())).await;
    at_every_cut(async |at| {
        let group = topic
            .group_with(&format!("{at:?}"), patient(options()))
            .await;
        topic.publish(2).await;
        let completed = cut(group.cancel(), at).await.is_some();
        group
            .cancel()
            .await
            .expect("a group can be cancelled after that");
        s.maintain_until_idle().await;
        assert_eq!(group.pending().await, [], "a cancelled group owes nothing");
        completed
    })
    .await;
    sound(&topic, &stays).await;
    topic
        .delete(DeleteTopic::IfSettled)
        .await
        .expect("cancelled groups do not keep a topic");
}

pub(crate) async fn dropped_pauses_and_beats_change_status_or_not(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    at_every_cut(async |at| cut(group.pause(), at).await.is_some()).await;
    group.pause().await.expect("a live group can be paused");
    at_every_cut(async |at| cut(group.heartbeat(), at).await.is_some()).await;
    at_every_cut(async |at| cut(group.resume(), at).await.is_some()).await;
    group.resume().await.expect("a live group can be resumed");
    sound(&topic, &group).await;
}

pub(crate) async fn a_dropped_creation_can_be_repeated(s: &Scene) {
    at_every_cut(async |at| {
        let name = topic_name(&format!("{at:?}"));
        let created = cut(s.backend.create_topic(&name, s.config()), at).await;
        let ensured = s.backend.ensure_topic(&name, s.config()).await;
        ensured.expect("a topic can be created after a dropped creation");
        let topic = s.at(name.as_str());
        let group = topic.group_with("billing", patient(options())).await;
        sound(&topic, &group).await;
        created.is_some()
    })
    .await;
}

pub(crate) async fn a_dropped_deletion_can_be_repeated(s: &Scene) {
    at_every_cut(async |at| {
        let topic = s.topic("orders").await;
        topic.group("billing").await;
        topic.publish(2).await;
        let deleted = cut(topic.delete(DeleteTopic::Forced), at).await;
        match topic.delete(DeleteTopic::Forced).await {
            Ok(()) => {}
            Err(error) => assert_eq!(
                error.kind(),
                ErrorKind::TopicNotFound,
                "the topic can be deleted, or is gone: {error}"
            ),
        }
        deleted.is_some()
    })
    .await;
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    sound(&topic, &group).await;
}

pub(crate) async fn dropped_maintenance_can_be_repeated<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    let member = group.member().await;
    at_every_cut(async |at| {
        // Something of every kind of work.
        let goes = topic.group("goes").await;
        let mut open = f.begin().await;
        f.publish_in(&mut open, &topic, 1).await;
        let late = topic
            .group_with(&format!("late {at:?}"), patient(options()))
            .await;
        open.commit().await.expect("it can be committed");
        topic.publish(2).await;
        let held = take(&*member, 1).await;
        let mut tx = f.begin().await;
        f.settle_in(&mut tx, &held).await.expect("it is held");
        tx.commit().await.expect("it can be committed");
        goes.cancel().await.expect("it can be cancelled");
        let completed = cut(f.scene().backend.maintain(), at).await.is_some();
        f.maintain_until_idle().await;
        late.drain_for_good().await;
        late.cancel().await.expect("it can be cancelled");
        completed
    })
    .await;
    sound(&topic, &group).await;
}

/// Consumes one message and produces two, in one transaction.
async fn work<H: Harness>(
    f: &Fixture<H>,
    input: &[Delivery],
    output: &TestTopic,
) -> Result<(), Error> {
    let batch = vec![NewMessage::new(input[0].message.id.to_string()); 2];
    f.backend
        .with_tx(async |tx| {
            f.backend.publish_in(tx, output.name(), batch).await?;
            f.backend.settle_in(tx, &receipts(input)).await
        })
        .await
}

pub(crate) async fn dropped_work_is_whole_or_nothing<H: Harness>(f: &Fixture<H>) {
    let (input, output) = (f.topic("orders").await, f.topic("invoices").await);
    let group = input.group_with("billing", patient(options())).await;
    let reader = output.group_with("reader", patient(options())).await;
    let member = group.member().await;
    let mut inputs = 0;
    at_every_cut(async |at| {
        inputs += input.publish(1).await.len();
        let held = take(&*member, 1).await;
        let worked = cut(work(f, &held, &output), at).await;
        let completed = worked.is_some();
        if let Some(worked) = worked {
            worked.expect("work can be done after dropped work");
        }
        // A commit that was under way may stand: to repeat the work tells.
        if let Err(error) = work(f, &held, &output).await {
            assert!(
                LOST.contains(&error.kind()),
                "repeated work succeeds, or learns that it is done: {error}"
            );
        }
        completed
    })
    .await;
    assert_eq!(group.pending().await, [], "every input is settled");
    let effects = payloads(&reader.drain_for_good().await);
    assert_eq!(effects.len(), inputs, "every input has its effect");
    assert!(
        effects.values().all(|count| *count == 2),
        "whole, and once: {effects:?}"
    );
    sound(&input, &group).await;
    sound(&output, &reader).await;
}

pub(crate) async fn work_dropped_in_the_middle_leaves_nothing_behind<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    topic.publish(1).await;
    let member = group.member().await;
    let held = take(&*member, 1).await;
    let receipts = receipts(&held);
    for _ in 0..OFTEN {
        let reached = Arc::new(Notify::new());
        let work = f.backend.with_tx(async |tx| {
            f.backend.publish_in(tx, topic.name(), messages(2)).await?;
            f.backend.settle_in(tx, &receipts).await?;
            reached.notify_one();
            pending::<Result<(), Error>>().await
        });
        tokio::select! {
            result = work => panic!("the work never ends by itself: {result:?}"),
            () = reached.notified() => {}
        }
        // On what the dropped work may have left.
        let tx = f.begin().await;
        tx.commit().await.expect("it can be committed");
    }
    f.maintain_until_idle().await;
    assert_eq!(
        group.pending().await,
        ids(&held),
        "of work that was dropped nothing is ever committed"
    );
    settle_all(&*member, &held).await;
    sound(&topic, &group).await;
}

pub(crate) async fn transactions_dropped_often_leave_room<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    for i in 0..OFTEN {
        let mut tx = f.begin().await;
        if i % 2 == 0 {
            f.publish_in(&mut tx, &topic, 1).await;
        }
        drop(tx);
    }
    at_every_cut(async |at| {
        let begun = cut(f.backend.begin(), at).await;
        let Some(begun) = begun else { return false };
        let mut tx = begun.expect("one can be begun after dropped ones");
        f.publish_in(&mut tx, &topic, 1).await;
        let ended = cut(tx.rollback(), at).await;
        ended.is_some()
    })
    .await;
    assert_eq!(group.pending().await, [], "nothing was committed");
    sound(&topic, &group).await;
}

pub(crate) async fn a_dropped_commit_stands_or_not<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group_with("billing", patient(options())).await;
    at_every_cut(async |at: Cut| {
        let mut tx = f.begin().await;
        let published = f
            .backend
            .publish_in(tx.tx(), topic.name(), batch(&format!("{at:?}")))
            .await;
        published.expect("a good batch is published");
        let committed = cut(tx.commit(), at).await;
        let Some(committed) = committed else {
            return false;
        };
        committed.expect("it can be committed");
        true
    })
    .await;
    let delivered = payloads(&group.drain_for_good().await);
    assert!(
        delivered.values().all(|count| *count == 3),
        "all of a transaction stands, or none of it: {delivered:?}"
    );
    sound(&topic, &group).await;
}
