//! Leases: who holds what, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanout_core::{
    ErrorKind, Extension, MAX_LEASE, MemberExt, Outcome, Settlement, SubscriptionOptions,
};

use crate::stage::{
    LEASE, STALE, Scene, TestGroup, both_orderings, fetch, gather, gather_one, ids, join_all,
    nothing, options, outcomes, receipts, refused, same_ids, settle_all, take, take_all, together,
};

const TICK: Duration = Duration::from_micros(1);

async fn group_with_messages(s: &Scene, n: usize) -> TestGroup {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(n).await;
    group
}

pub(crate) async fn f3_concurrent_claims_never_overlap(s: &Scene) {
    let group = group_with_messages(s, 400).await;
    let sent = group.pending().await;
    let members = group.members(8).await;
    let taken = together(8, |i| {
        let member = members[i].clone();
        async move {
            let (mut taken, mut quiet) = (Vec::new(), 0);
            while quiet < 5 {
                let deliveries = fetch(&*member, 7).await;
                quiet = if deliveries.is_empty() { quiet + 1 } else { 0 };
                taken.extend(deliveries);
            }
            taken
        }
    })
    .await;
    let mut taken = taken.concat();
    // A worker that finds only what others are just taking may give up early.
    let left = sent.len() - taken.len();
    taken.extend(gather(&members, left).await.concat());
    for member in &members {
        nothing(&**member, "what is held is delivered to nobody").await;
    }
    same_ids(
        ids(&taken),
        sent,
        "of concurrent workers exactly one gets each message while its lease lasts",
    );
}

pub(crate) async fn f3_concurrent_workers_settle_each_message_once(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let applied = Arc::new(AtomicUsize::new(0));
    let publishing = Arc::new(AtomicUsize::new(2));
    let publishers = (0..2).map(|_| {
        let (topic, publishing) = (topic.clone(), publishing.clone());
        tokio::spawn(async move {
            let mut sent = Vec::new();
            for _ in 0..10 {
                sent.extend(topic.publish(10).await);
            }
            publishing.fetch_sub(1, Ordering::SeqCst);
            sent
        })
    });
    let publishers = publishers.collect();
    let workers = together(8, |_| {
        let (group, applied, publishing) = (group.clone(), applied.clone(), publishing.clone());
        async move {
            let member = group.member().await;
            let mut settled = Vec::new();
            loop {
                let published = publishing.load(Ordering::SeqCst) == 0;
                let deliveries = fetch(&*member, 5).await;
                if deliveries.is_empty() && published && group.pending().await.is_empty() {
                    return settled;
                }
                settle_all(&*member, &deliveries).await;
                applied.fetch_add(deliveries.len(), Ordering::SeqCst);
                settled.extend(ids(&deliveries));
            }
        }
    })
    .await;
    let sent = join_all(publishers).await.concat();
    assert_eq!(
        applied.load(Ordering::SeqCst),
        200,
        "concurrent workers settle as many messages as there are"
    );
    same_ids(
        workers.into_iter().flatten(),
        sent,
        "each message is effectively settled once",
    );
}

pub(crate) async fn a_lease_holds_to_its_end_and_no_longer(s: &Scene) {
    let group = group_with_messages(s, 1).await;
    let members = group.members(2).await;
    let delivery = gather_one(&members).await;
    assert_eq!(
        delivery.until,
        s.now() + LEASE,
        "a lease is as long as the subscription says"
    );
    let promise = "before the end of its lease a message goes to nobody";
    for now in [s.now(), delivery.until - TICK] {
        s.clock.set(now);
        for member in &members {
            nothing(&**member, promise).await;
        }
    }
    s.clock.set(delivery.until);
    assert_eq!(
        gather_one(&members).await.message,
        delivery.message,
        "at the end of its lease a message is delivered again"
    );
}

pub(crate) async fn an_expired_lease_is_redelivered_and_its_receipt_refused(s: &Scene) {
    let group = group_with_messages(s, 1).await;
    let one = group.member().await;
    let old = take(&*one, 1).await.remove(0);
    let two = group.member().await;
    s.lapse();
    let new = take(&*two, 1).await.remove(0);
    assert_eq!(new.message, old.message, "the message is the same");
    assert_eq!(new.attempt, 1, "an expired lease is no failed attempt");
    assert_ne!(new.receipt, old.receipt, "each delivery has its receipt");

    let promise = "the receipt of a message that was delivered again is stale";
    refused(one.done(&old).await, STALE, promise);
    refused(one.skip(&old).await, STALE, promise);
    refused(one.fail(&old, "no").await, STALE, promise);
    refused(one.release(&old).await, STALE, promise);
    let extended = one.extend(&[old.receipt], LEASE).await;
    assert_eq!(
        extended.expect("stale is no error of the call"),
        [Extension::Stale],
        "{promise}"
    );
    nothing(&*one, "a stale receipt changes nothing").await;
    two.done(&new).await.expect("the new receipt settles it");
    assert_eq!(group.pending().await, [], "and it is settled");
}

pub(crate) async fn an_expired_lease_that_nobody_took_can_be_settled(s: &Scene) {
    let group = group_with_messages(s, 4).await;
    let member = group.member().await;
    let held = take(&*member, 4).await;
    s.advance(LEASE * 3);
    let outcomes = member
        .settle(&[
            Settlement::done(held[0].receipt),
            Settlement::skip(held[1].receipt),
            Settlement::fail(held[2].receipt, "no"),
        ])
        .await
        .expect("they are the member's own");
    let due = s.now() + Duration::from_secs(1);
    assert_eq!(
        outcomes,
        [Outcome::Applied, Outcome::Applied, Outcome::Retry { due }],
        "a receipt is good until somebody else gets the message"
    );
    let extended = member.extend(&[held[3].receipt], LEASE).await;
    let until = s.now() + LEASE;
    assert_eq!(
        extended.expect("it is the member's own"),
        [Extension::Extended { until }],
        "an expired lease that nobody took can be extended"
    );
    group.nothing("and then holds again").await;
}

pub(crate) async fn a_member_gets_its_own_expired_messages_again(s: &Scene) {
    let group = group_with_messages(s, 1).await;
    let member = group.member().await;
    let old = take(&*member, 1).await.remove(0);
    s.advance(LEASE);
    let new = take(&*member, 1).await.remove(0);
    let both = [Settlement::done(old.receipt), Settlement::done(new.receipt)];
    assert_eq!(
        outcomes(&*member, &both).await,
        [Outcome::Stale, Outcome::Applied],
        "of two deliveries to one member the later counts"
    );
}

pub(crate) async fn a_lease_can_be_extended(s: &Scene) {
    let group = group_with_messages(s, 1).await;
    let members = group.members(2).await;
    let delivery = gather_one(&members).await;
    s.advance(LEASE / 2);
    let until = s.now() + LEASE;
    let extended = members[0].extend(&[delivery.receipt], LEASE).await;
    assert_eq!(
        extended.expect("it is held"),
        [Extension::Extended { until }],
        "a lease is extended from now"
    );
    s.clock.set(until - TICK);
    for member in &members {
        nothing(&**member, "an extended lease holds to its new end").await;
    }
    s.clock.set(until);
    gather_one(&members).await;
}

pub(crate) async fn a_lease_can_be_shortened(s: &Scene) {
    let group = group_with_messages(s, 1).await;
    let members = group.members(2).await;
    let delivery = gather_one(&members).await;
    let by = Duration::from_secs(1);
    let extended = members[0].extend(&[delivery.receipt], by).await;
    let until = s.now() + by;
    assert_eq!(
        extended.expect("it is held"),
        [Extension::Extended { until }],
        "a lease can be moved to an earlier end"
    );
    s.clock.set(until - TICK);
    for member in &members {
        nothing(&**member, "a shortened lease holds to its new end").await;
    }
    s.clock.set(until);
    gather_one(&members).await;
}

pub(crate) async fn extending_answers_for_each_receipt(s: &Scene) {
    let group = group_with_messages(s, 3).await;
    let member = group.member().await;
    let held = take(&*member, 3).await;
    member.done(&held[1]).await.expect("it is held");
    let until = s.now() + LEASE;
    let extended = member.extend(&receipts(&held), LEASE).await;
    assert_eq!(
        extended.expect("they are the member's own"),
        [
            Extension::Extended { until },
            Extension::Stale,
            Extension::Extended { until },
        ],
        "a settled message has no lease; the others are extended, in the call's order"
    );
    let nothing_to_do = member.extend(&[], LEASE).await;
    assert_eq!(
        nothing_to_do.expect("there is nothing wrong with it"),
        [],
        "extending nothing extends nothing"
    );
}

pub(crate) async fn an_extension_must_be_a_valid_lease(s: &Scene) {
    let group = group_with_messages(s, 1).await;
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    for by in [Duration::ZERO, TICK, MAX_LEASE + TICK, Duration::MAX] {
        refused(
            member.extend(&[delivery.receipt], by).await,
            &[ErrorKind::InvalidInput],
            "a lease lasts 1 ms to 12 h",
        );
    }
    s.clock.set(delivery.until - TICK);
    nothing(&*member, "a refused extension changes nothing").await;
    let by = Duration::from_millis(1);
    let extended = member.extend(&[delivery.receipt], by).await;
    assert_eq!(
        extended.expect("it is held"),
        [Extension::Extended {
            until: s.now() + by
        }],
        "the shortest lease is one"
    );
}

pub(crate) async fn releasing_gives_back_at_once(s: &Scene) {
    let topic = s.topic("orders").await;
    let strict = SubscriptionOptions {
        max_attempts: 1,
        max_stalls: 1,
        ..options()
    };
    let group = topic.group_with("billing", strict).await;
    let sent = topic.publish(1).await;
    let members = group.members(2).await;
    for _ in 0..5 {
        for member in &members {
            let delivery = gather_one(&members).await;
            assert_eq!(
                delivery.attempt, 1,
                "releasing is no failed attempt, as if it had not been fetched"
            );
            member.release(&delivery).await.expect("it is held");
            refused(
                member.done(&delivery).await,
                STALE,
                "the receipt of a released message is stale",
            );
        }
    }
    assert_eq!(group.pending().await, sent, "a released message is owed");
    assert_eq!(
        topic.dead_letters().await,
        [],
        "and is never given up for it"
    );
}

pub(crate) async fn leaving_releases_what_is_in_hand(s: &Scene) {
    let group = group_with_messages(s, 6).await;
    let one = group.member().await;
    let left = take(&*one, 6).await;
    let two = group.member().await;
    nothing(&*two, "what a member holds is not delivered to another").await;
    one.leave().await.expect("a member can leave");
    let again = take(&*two, 6).await;
    same_ids(
        ids(&again),
        ids(&left),
        "what a leaving member holds is to be had at once",
    );
    assert!(
        again.iter().all(|d| d.attempt == 1),
        "leaving is no failed attempt"
    );
    let late: Vec<_> = left.iter().map(|d| Settlement::done(d.receipt)).collect();
    assert_eq!(
        outcomes(&*two, &late).await,
        [Outcome::Stale; 6],
        "receipts that a member left behind are stale"
    );
    settle_all(&*two, &again).await;
}

pub(crate) async fn leaving_releases_nothing_of_others(s: &Scene) {
    let group = group_with_messages(s, 6).await;
    let members = group.members(2).await;
    let held = gather(&members, 6).await;
    members[0].leave().await.expect("a member can leave");
    let again = take(&*members[1], held[0].len()).await;
    same_ids(
        ids(&again),
        ids(&held[0]),
        "what a leaving member held is delivered, and nothing else",
    );
    group.nothing("what others hold is not touched").await;
    settle_all(&*members[1], &held[1]).await;
    settle_all(&*members[1], &again).await;
}

pub(crate) async fn dropping_a_member_is_a_crash(s: &Scene) {
    let group = group_with_messages(s, 3).await;
    let sent = group.pending().await;
    let one = group.member().await;
    let until = take(&*one, 3).await[0].until;
    drop(one);
    let two = group.member().await;
    nothing(&*two, "what a crashed member held stays leased").await;
    s.clock.set(until - TICK);
    nothing(&*two, "up to the end of the lease").await;
    s.lapse();
    let again = take(&*two, 3).await;
    same_ids(ids(&again), sent, "and is then delivered to others");
    assert!(
        again.iter().all(|d| d.attempt == 1),
        "a crash is no failed attempt"
    );
}

pub(crate) async fn attempts_count_failures_only(s: &Scene) {
    let group = group_with_messages(s, 1).await;
    let members = group.members(2).await;
    for attempt in 1..=3 {
        let delivery = gather_one(&members).await;
        assert_eq!(delivery.attempt, attempt, "an attempt is 1 + the failures");
        let released = members[0].release(&delivery).await;
        released.expect("it is held");
        gather_one(&members).await;
        s.advance(LEASE);
        let delivery = gather_one(&members).await;
        assert_eq!(
            (delivery.attempt, delivery.receipt.attempt()),
            (attempt, attempt),
            "releases and expired leases are no failures"
        );
        let failed = members[1].fail(&delivery, "no").await;
        failed.expect("it is held");
        s.advance(LEASE);
    }
}

pub(crate) async fn a_fetch_keeps_to_its_limit(s: &Scene) {
    let group = group_with_messages(s, 10).await;
    let member = group.member().await;
    refused(
        member.fetch(0).await,
        &[ErrorKind::InvalidInput],
        "a fetch asks for at least one message",
    );
    for _ in 0..3 {
        let fetched = fetch(&*member, 2).await;
        assert!(fetched.len() <= 2, "a fetch returns at most its limit");
    }
    let rest = fetch(&*member, usize::MAX).await;
    assert!(rest.len() <= 10, "any limit may be asked for");
}

pub(crate) async fn what_is_in_hand_holds_up_nothing_else(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let group = topic.group_with("billing", options).await;
        topic.publish_keyed(&["a"]).await;
        let member = group.member().await;
        let first = take(&*member, 1).await;
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.extend(topic.publish_keyed(&["b", "c", "d", "e", "b", "a"]).await);
            s.maintain_until_idle().await;
        }
        let rest = take(&*member, sent.len()).await;
        same_ids(
            ids(&rest),
            sent,
            "whoever is slow with a message gets others meanwhile, whenever they were published",
        );
        settle_all(&*member, &first).await;
        settle_all(&*member, &rest).await;
        assert_eq!(group.pending().await, [], "all are settled");
    }
}

pub(crate) async fn the_lease_of_the_subscription_is_used(s: &Scene) {
    let topic = s.topic("orders").await;
    for (name, lease) in [
        ("short", Duration::from_millis(1)),
        ("long", MAX_LEASE),
        ("odd", Duration::from_micros(1_234_567)),
    ] {
        let options = SubscriptionOptions { lease, ..options() };
        let group = topic.group_with(name, options).await;
        topic.publish(1).await;
        let member = group.member().await;
        let delivery = take(&*member, 1).await.remove(0);
        assert_eq!(
            delivery.until,
            s.now() + lease,
            "a lease is as long as its subscription says, to the microsecond"
        );
    }
}

pub(crate) async fn a_clock_that_stands_still_or_steps_back_loses_nothing(s: &Scene) {
    let group = group_with_messages(s, 6).await;
    let sent = group.pending().await;
    let member = group.member().await;
    let first = take(&*member, 2).await;
    s.clock.set(s.now() - Duration::from_secs(3600));
    let second = take_all(&*member).await;
    let all = ids(&first).into_iter().chain(ids(&second));
    same_ids(
        all,
        sent,
        "a clock that steps back delivers nothing twice and hides nothing",
    );
    settle_all(&*member, &first).await;
    settle_all(&*member, &second).await;
    assert_eq!(group.pending().await, [], "and everything can be settled");
}
