//! Many groups at the same messages at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanout_core::{Delivery, Outcome, Settlement, Transactional};
use tokio::sync::Semaphore;

use crate::Harness;
use crate::stage::{Fixture, full_size, receipts, take, together};

const MESSAGES: usize = 24;
/// Transactions that are open at a time; an engine need not have room for many more.
const OPEN: usize = 16;
/// Of the messages, those that every second group leaves unsettled at first.
const LEFT: usize = 6;

pub(crate) async fn f4_groups_that_settle_the_same_messages_neither_deadlock_nor_miscount<
    H: Harness,
>(
    f: &Fixture<H>,
) {
    let count = if full_size() { 128 } else { 32 };
    let topic = f.topic("orders").await;
    let groups = topic.groups(count).await;
    let sent = topic.publish(MESSAGES).await;
    let mut held = Vec::new();
    for group in &groups {
        let member = group.member().await;
        let mut deliveries = take(&*member, MESSAGES).await;
        deliveries.sort_by_key(|d| d.message.id);
        held.push((member, deliveries));
    }
    let part = |i: usize| {
        let left = if i % 2 == 1 { LEFT } else { 0 };
        let mut part: Vec<Delivery> = held[i].1[..MESSAGES - left].to_vec();
        // Every order of locks that callers may ask for.
        match i % 3 {
            0 => {}
            1 => part.reverse(),
            _ => part.rotate_left(MESSAGES / 2),
        }
        part
    };
    let room = Arc::new(Semaphore::new(OPEN));
    together(count, |i| {
        let (member, backend, part) = (held[i].0.clone(), f.backend.clone(), part(i));
        let room = room.clone();
        let settle = async move |part: &[Delivery]| {
            let settlements: Vec<_> = part.iter().map(|d| Settlement::done(d.receipt)).collect();
            let outcomes = member.settle(&settlements).await;
            let outcomes = outcomes.expect("groups that settle the same messages do not fail");
            assert!(
                outcomes.iter().all(|outcome| *outcome == Outcome::Applied),
                "groups do not make each other's receipts stale: {outcomes:?}"
            );
        };
        async move {
            let promise = "transactions of groups that settle the same messages do not fail";
            match i % 4 {
                0 => settle(&part).await,
                1 => {
                    for few in part.chunks(5) {
                        settle(few).await;
                    }
                }
                2 => {
                    let _open = room.acquire().await.expect("it is never closed");
                    let mut tx = backend.begin().await.expect(promise);
                    let settled = backend.settle_in(tx.tx(), &receipts(&part)).await;
                    settled.expect(promise);
                    tokio::task::yield_now().await;
                    tx.rollback().await.expect(promise);
                    settle(&part).await;
                }
                _ => {
                    let (plain, in_tx) = part.split_at(7);
                    let _open = room.acquire().await.expect("it is never closed");
                    let mut tx = backend.begin().await.expect(promise);
                    for few in in_tx.chunks(4) {
                        let settled = backend.settle_in(tx.tx(), &receipts(few)).await;
                        settled.expect(promise);
                    }
                    settle(plain).await;
                    tx.commit().await.expect(promise);
                }
            }
        }
    })
    .await;
    f.maintain_until_idle().await;

    let everyone: Vec<_> = groups.iter().collect();
    let thorough: Vec<_> = groups.iter().step_by(2).collect();
    for (place, id) in sent.iter().enumerate() {
        let settled = if place < MESSAGES - LEFT {
            &everyone
        } else {
            &thorough
        };
        let promise = "exactly those groups have settled that did";
        topic.completed_by(*id, settled, promise).await;
    }
    let whole = &sent[..MESSAGES - LEFT];
    topic
        .complete(whole, "what all groups have settled is complete")
        .await;
    let pending: BTreeMap<_, _> = topic
        .stats()
        .await
        .into_iter()
        .map(|stats| (stats.group, stats.pending))
        .collect();
    for (i, group) in groups.iter().enumerate() {
        let left = if i % 2 == 1 {
            &sent[MESSAGES - LEFT..]
        } else {
            &[]
        };
        assert_eq!(group.pending().await, left, "exactly the rest is owed");
        assert_eq!(
            pending[group.name()],
            left.len() as u64,
            "counts equal what is listed"
        );
    }

    together(count, |i| {
        let (member, rest) = (held[i].0.clone(), held[i].1.clone());
        async move {
            let rest: Vec<_> = rest.iter().map(|d| Settlement::done(d.receipt)).collect();
            let outcomes = member.settle(&rest).await.expect("stale is no error");
            let effective = outcomes.iter().filter(|o| o.is_effective()).count();
            let expected = if i % 2 == 1 { LEFT } else { 0 };
            assert_eq!(
                effective, expected,
                "what was settled is stale, the rest is not"
            );
        }
    })
    .await;
    topic
        .complete(&sent, "in the end every message is complete")
        .await;
    let stats = topic.stats().await;
    assert!(
        stats
            .iter()
            .all(|stats| stats.pending == 0 && stats.in_flight == 0),
        "and nothing is owed: {stats:?}"
    );
}

pub(crate) async fn f4_failures_and_settlements_of_many_groups_mix<H: Harness>(f: &Fixture<H>) {
    const GROUPS: usize = 16;
    let topic = f.topic("orders").await;
    let groups = topic.groups(GROUPS).await;
    let sent = topic.publish(MESSAGES).await;
    together(GROUPS, |i| {
        let group = groups[i].clone();
        async move {
            let member = group.member().await;
            let held = take(&*member, MESSAGES).await;
            let settlements: Vec<_> = held
                .iter()
                .enumerate()
                .map(|(place, delivery)| match (place + i) % 4 {
                    0 => Settlement::fail(delivery.receipt, "no"),
                    1 => Settlement::release(delivery.receipt),
                    2 => Settlement::skip(delivery.receipt),
                    _ => Settlement::done(delivery.receipt),
                })
                .collect();
            let outcomes = member.settle(&settlements).await;
            let outcomes = outcomes.expect("groups do not get in each other's way");
            assert!(
                outcomes.iter().all(|outcome| outcome.is_effective()),
                "each settlement takes effect: {outcomes:?}"
            );
            member.leave().await.expect("a member can leave");
        }
    })
    .await;
    let stats = topic.stats().await;
    assert!(
        stats
            .iter()
            .all(|stats| stats.pending == MESSAGES as u64 / 2
                && stats.delayed == MESSAGES as u64 / 4
                && stats.in_flight == 0),
        "half is owed, half of that is delayed, in every group: {stats:?}"
    );
    f.advance(std::time::Duration::from_secs(1));
    let drained = together(GROUPS, |i| {
        let group = groups[i].clone();
        async move { group.drain().await.len() }
    })
    .await;
    assert_eq!(drained, [MESSAGES / 2; GROUPS], "the rest is delivered");
    topic
        .complete(&sent, "in the end every message is complete")
        .await;
}
