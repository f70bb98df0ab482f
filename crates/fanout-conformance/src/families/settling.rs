//! Settling deliveries.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backoff, DeleteTopic, ErrorKind, MemberExt, Outcome, Receipt, Settlement, SubscriptionOptions,
};

use crate::stage::{
    LEASE, STALE, Scene, TestGroup, ids, nothing, options, outcomes, receipts, refused, same_ids,
    take, take_all, together,
};

const TICK: Duration = Duration::from_micros(1);

async fn group_with_messages(s: &Scene, n: usize) -> TestGroup {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(n).await;
    group
}

pub(crate) async fn each_verdict_has_its_outcome(s: &Scene) {
    let group = group_with_messages(s, 4).await;
    let member = group.member().await;
    let held = take(&*member, 4).await;
    let outcomes = member
        .settle(&[
            Settlement::fail(held[2].receipt, "no"),
            Settlement::done(held[0].receipt),
            Settlement::release(held[3].receipt),
            Settlement::skip(held[1].receipt),
        ])
        .await
        .expect("all are held");
    let due = s.now() + Duration::from_secs(1);
    assert_eq!(
        outcomes,
        [
            Outcome::Retry { due },
            Outcome::Applied,
            Outcome::Applied,
            Outcome::Applied,
        ],
        "outcomes come in the order of the settlements"
    );
    same_ids(
        group.pending().await,
        [held[2].message.id, held[3].message.id],
        "done and skipped messages are settled, failed and released ones are owed",
    );
    s.advance(LEASE * 10);
    same_ids(
        ids(&group.drain().await),
        [held[2].message.id, held[3].message.id],
        "a settled message is never delivered again",
    );
}

pub(crate) async fn a_receipt_counts_once_in_a_call(s: &Scene) {
    let group = group_with_messages(s, 4).await;
    let member = group.member().await;
    let held = take(&*member, 4).await;
    let outcomes = member
        .settle(&[
            Settlement::done(held[0].receipt),
            Settlement::release(held[1].receipt),
            Settlement::done(held[0].receipt),
            Settlement::done(held[1].receipt),
            Settlement::fail(held[2].receipt, "no"),
            Settlement::fail(held[2].receipt, "no"),
            Settlement::skip(held[3].receipt),
            Settlement::fail(held[3].receipt, "no"),
        ])
        .await
        .expect("all are held");
    let retry = Outcome::Retry {
        due: s.now() + Duration::from_secs(1),
    };
    assert_eq!(
        outcomes,
        [
            Outcome::Applied,
            Outcome::Applied,
            Outcome::Stale,
            Outcome::Stale,
            retry,
            Outcome::Stale,
            Outcome::Applied,
            Outcome::Stale,
        ],
        "of a receipt that stands twice in a call the first is used, the second is stale"
    );
    s.advance(LEASE);
    let again = take(&*member, 2).await;
    for delivery in again {
        let failed = delivery.message.id == held[2].message.id;
        assert_eq!(
            delivery.attempt,
            if failed { 2 } else { 1 },
            "what is stale does not count"
        );
    }
}

pub(crate) async fn a_message_is_settled_once(s: &Scene) {
    let group = group_with_messages(s, 2).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    member.done(&held[0]).await.expect("it is held");
    member.skip(&held[1]).await.expect("it is held");
    for delivery in &held {
        let promise = "the receipt of a settled message is stale";
        let stale = STALE;
        refused(member.done(delivery).await, stale, promise);
        refused(member.skip(delivery).await, stale, promise);
        refused(member.fail(delivery, "no").await, stale, promise);
        refused(member.release(delivery).await, stale, promise);
        let again = [Settlement::done(delivery.receipt)];
        assert_eq!(
            outcomes(&*member, &again).await,
            [Outcome::Stale],
            "{promise}"
        );
    }
    s.advance(LEASE * 10);
    nothing(&*member, "a stale receipt brings nothing back").await;
    assert_eq!(group.stats().await.dead_letters, 0, "nor gives it up");
}

pub(crate) async fn of_concurrent_settlements_one_takes_effect(s: &Scene) {
    let group = group_with_messages(s, 20).await;
    let member = group.member().await;
    let held = Arc::new(take(&*member, 20).await);
    let results = together(8, |i| {
        let (group, held) = (group.clone(), held.clone());
        async move {
            let member = group.member().await;
            let mut settlements: Vec<_> =
                held.iter().map(|d| Settlement::done(d.receipt)).collect();
            settlements.rotate_left(i);
            let outcomes = member.settle(&settlements).await;
            let mut outcomes = outcomes.expect("concurrent settlements do not fail");
            outcomes.rotate_right(i);
            outcomes
        }
    })
    .await;
    for message in 0..20 {
        let effective = results.iter().filter(|o| o[message].is_effective()).count();
        assert_eq!(
            effective, 1,
            "of concurrent settlements of a message exactly one takes effect"
        );
    }
}

pub(crate) async fn a_stale_receipt_keeps_no_other_from_its_effect(s: &Scene) {
    let group = group_with_messages(s, 3).await;
    let member = group.member().await;
    let held = take(&*member, 3).await;
    member.done(&held[1]).await.expect("it is held");
    let settlements: Vec<_> = held.iter().map(|d| Settlement::done(d.receipt)).collect();
    assert_eq!(
        outcomes(&*member, &settlements).await,
        [Outcome::Applied, Outcome::Stale, Outcome::Applied],
        "a stale receipt does not keep others of its call from taking effect"
    );
    assert_eq!(group.pending().await, [], "all are settled");
    let count = member.done_all(&held).await;
    assert_eq!(count.expect("stale is no error"), 0, "none twice");
}

pub(crate) async fn settling_nothing_settles_nothing(s: &Scene) {
    let group = group_with_messages(s, 1).await;
    let member = group.member().await;
    let outcomes = member.settle(&[]).await;
    assert_eq!(
        outcomes.expect("there is nothing wrong with it"),
        [],
        "settling nothing has no outcomes"
    );
    assert_eq!(group.pending().await.len(), 1, "and settles nothing");
}

pub(crate) async fn foreign_receipts_are_refused_with_all_of_their_call(s: &Scene) {
    let (orders, returns) = (s.topic("orders").await, s.topic("returns").await);
    let (a, b) = (orders.group("a").await, orders.group("b").await);
    let elsewhere = returns.group("a").await;
    let gone_topic = s.topic("gone").await;
    let gone = gone_topic.group("a").await;
    for topic in [&orders, &returns, &gone_topic] {
        topic.publish(3).await;
    }
    let member = a.member().await;
    let own = take(&*member, 2).await;
    let foreign = [
        take(&*b.member().await, 1).await[0].receipt,
        take(&*elsewhere.member().await, 1).await[0].receipt,
        take(&*gone.member().await, 1).await[0].receipt,
    ];
    gone_topic
        .delete(DeleteTopic::Forced)
        .await
        .expect("a forced deletion succeeds");
    for receipt in foreign {
        let promise = "a receipt of another topic or group is foreign";
        let kinds = &[ErrorKind::ForeignReceipt];
        let settled = member.settle(&[Settlement::done(receipt)]).await;
        refused(settled, kinds, promise);
        let settled = member
            .settle(&[
                Settlement::done(own[0].receipt),
                Settlement::fail(receipt, "no"),
                Settlement::skip(own[1].receipt),
            ])
            .await;
        refused(settled, kinds, promise);
        let extended = member
            .extend(&[own[0].receipt, receipt], Duration::from_secs(1))
            .await;
        refused(extended, kinds, promise);
    }
    assert_eq!(
        (a.pending().await.len(), b.pending().await.len()),
        (3, 3),
        "with a foreign receipt in it a call settles nothing"
    );
    s.clock.set(own[0].until - TICK);
    let free = a.pending().await.into_iter();
    let free = free.filter(|id| !ids(&own).contains(id));
    same_ids(
        ids(&take_all(&*member).await),
        free,
        "nor does it shorten a lease",
    );
    let count = member.done_all(&own).await;
    assert_eq!(
        count.expect("own receipts settle"),
        2,
        "own receipts stay good"
    );
}

pub(crate) async fn receipts_survive_serialisation(s: &Scene) {
    let group = group_with_messages(s, 2).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    let text = serde_json::to_string(&receipts(&held)).expect("receipts can be written");
    drop(member);
    let read: Vec<Receipt> = serde_json::from_str(&text).expect("and read");
    let settlements: Vec<_> = read.into_iter().map(Settlement::done).collect();
    let outcomes = group.member().await.settle(&settlements).await;
    assert_eq!(
        outcomes.expect("they are the group's own"),
        [Outcome::Applied; 2],
        "a receipt that was written and read settles"
    );
}

pub(crate) async fn any_member_of_the_group_may_settle(s: &Scene) {
    let group = group_with_messages(s, 3).await;
    let one = group.member().await;
    let held = take(&*one, 3).await;
    let two = group.member().await;
    two.done(&held[0])
        .await
        .expect("members settle for another");
    let until = s.now() + LEASE * 2;
    let extended = two.extend(&[held[1].receipt], LEASE * 2).await;
    assert_eq!(
        extended.expect("members extend for another"),
        [fanout_core::Extension::Extended { until }],
        "the lease of another member's delivery can be extended"
    );
    two.release(&held[2])
        .await
        .expect("members release for another");
    refused(
        one.done(&held[0]).await,
        STALE,
        "what another member settled is settled",
    );
    drop(one);
    two.done(&held[1]).await.expect("also after it crashed");
    same_ids(
        group.pending().await,
        [held[2].message.id],
        "the receipt counts, not who holds it",
    );
}

pub(crate) async fn a_failed_message_comes_back_when_it_is_due(s: &Scene) {
    let topic = s.topic("orders").await;
    let options = SubscriptionOptions {
        max_attempts: 10,
        backoff: Backoff::default()
            .with_jitter(0.0)
            .with_initial(Duration::from_secs(2))
            .with_multiplier(3.0)
            .with_max(Duration::from_secs(20)),
        ..options()
    };
    let group = topic.group_with("billing", options).await;
    topic.publish(1).await;
    let member = group.member().await;
    for (attempt, wait) in (1..).zip([2, 6, 18, 20, 20]) {
        let delivery = take(&*member, 1).await.remove(0);
        assert_eq!(delivery.attempt, attempt, "an attempt is 1 + the failures");
        let outcome = member.fail(&delivery, "no").await.expect("it is held");
        let due = s.now() + Duration::from_secs(wait);
        assert_eq!(
            outcome,
            Outcome::Retry { due },
            "the wait grows as the backoff says"
        );
        refused(
            member.done(&delivery).await,
            STALE,
            "the receipt of a failed message is stale",
        );
        s.clock.set(due - TICK);
        nothing(&*member, "a failed message waits until it is due").await;
        s.clock.set(due);
    }
}

pub(crate) async fn waits_are_spread_by_the_jitter(s: &Scene) {
    let topic = s.topic("orders").await;
    let options = SubscriptionOptions {
        backoff: Backoff::default().with_jitter(0.5),
        ..options()
    };
    let group = topic.group_with("billing", options).await;
    topic.publish(50).await;
    let member = group.member().await;
    let held = take(&*member, 50).await;
    let failures: Vec<_> = held
        .iter()
        .map(|d| Settlement::fail(d.receipt, "no"))
        .collect();
    let outcomes = member.settle(&failures).await.expect("all are held");
    let (mut earliest, mut latest) = (Duration::MAX, Duration::ZERO);
    for outcome in outcomes {
        let Outcome::Retry { due } = outcome else {
            panic!("a first failure is tried again, not {outcome:?}");
        };
        let wait = due.since(s.now());
        (earliest, latest) = (earliest.min(wait), latest.max(wait));
    }
    assert!(
        earliest >= Duration::from_millis(500) && latest <= Duration::from_millis(1500),
        "waits stay within the jitter: {earliest:?} to {latest:?}"
    );
    assert!(
        latest - earliest > Duration::from_millis(100),
        "messages that fail together do not come back together: {earliest:?} to {latest:?}"
    );
}

pub(crate) async fn without_a_wait_a_failed_message_is_due_at_once(s: &Scene) {
    let topic = s.topic("orders").await;
    let options = SubscriptionOptions {
        backoff: Backoff::default().with_initial(Duration::ZERO),
        ..options()
    };
    let group = topic.group_with("billing", options).await;
    topic.publish(1).await;
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    let outcome = member.fail(&delivery, "no").await.expect("it is held");
    assert_eq!(outcome, Outcome::Retry { due: s.now() }, "it is due now");
    assert_eq!(take(&*member, 1).await[0].attempt, 2, "and is delivered");
}

pub(crate) async fn many_can_be_settled_in_one_call(s: &Scene) {
    let group = group_with_messages(s, 2_000).await;
    let member = group.member().await;
    let held = take(&*member, 2_000).await;
    let count = member.done_all(&held).await;
    assert_eq!(
        count.expect("all are held"),
        2_000,
        "a call may settle as many as a member holds"
    );
    assert_eq!(group.stats().await.pending, 0, "all are settled");
}
