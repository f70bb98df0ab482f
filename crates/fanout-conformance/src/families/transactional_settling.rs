//! Settling in the caller's transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    DeleteTopic, Delivery, Error, ErrorKind, Extension, Member, MemberExt, NewMessage, Outcome,
    Result, Settlement, SubscriptionOptions, Transactional, TransactionalExt,
};

use crate::Harness;
use crate::stage::{
    Fixture, LEASE, TestGroup, TestTopic, fetch, ids, messages, nothing, options, receipts,
    refused, same_ids, settle_all, take, together,
};

const STALE: &[ErrorKind] = &[ErrorKind::StaleReceipt];
/// What a transaction may get that settles what another one settles.
const LOST: &[ErrorKind] = &[ErrorKind::Conflict, ErrorKind::StaleReceipt];

/// A topic with a group, and what a member of it holds.
struct Held {
    topic: TestTopic,
    group: TestGroup,
    member: Arc<dyn Member>,
    deliveries: Vec<Delivery>,
}

async fn hold<H: Harness>(f: &Fixture<H>, n: usize) -> Held {
    let topic = f.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(n).await;
    let member = group.member().await;
    let mut deliveries = take(&*member, n).await;
    deliveries.sort_by_key(|d| d.message.id);
    Held {
        topic,
        group,
        member,
        deliveries,
    }
}

async fn never_again<H: Harness>(f: &Fixture<H>, held: &Held) {
    f.maintain_until_idle().await;
    f.advance(LEASE * 10);
    nothing(
        &*held.group.member().await,
        "a settled message is never delivered again",
    )
    .await;
    assert_eq!(held.group.pending().await, [], "and not owed");
}

pub(crate) async fn a_commit_settles<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 3).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries[..2])
        .await
        .expect("they are held");
    f.settle_in(&mut tx, &held.deliveries[2..])
        .await
        .expect("a transaction may settle several times");
    assert_eq!(
        held.group.pending().await.len(),
        3,
        "before the commit nothing is settled"
    );
    tx.commit().await.expect("it can be committed");
    assert_eq!(held.group.pending().await, [], "the commit settles");

    let promise = "the receipt of a message that a transaction settled is stale";
    for delivery in &held.deliveries {
        refused(held.member.done(delivery).await, STALE, promise);
        refused(held.member.fail(delivery, "no").await, STALE, promise);
        refused(held.member.release(delivery).await, STALE, promise);
    }
    let extended = held.member.extend(&receipts(&held.deliveries), LEASE).await;
    assert_eq!(
        extended.expect("stale is no error of the call"),
        [Extension::Stale; 3],
        "{promise}"
    );
    let mut tx = f.begin().await;
    refused(
        f.settle_in(&mut tx, &held.deliveries[..1]).await,
        LOST,
        promise,
    );
    tx.rollback().await.expect("it can be undone");
    never_again(f, &held).await;
    let records = held.topic.accounting().await;
    assert!(
        records.values().all(|record| record.completed_at.is_some()),
        "the accounting is complete: {records:?}"
    );
}

pub(crate) async fn a_rollback_restores_everything<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 3).await;
    let before = held.group.stats().await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("they are held");
    tx.rollback().await.expect("it can be undone");
    f.maintain_until_idle().await;
    assert_eq!(
        held.group.stats().await,
        before,
        "after a rollback everything is as before"
    );
    nothing(&*held.group.member().await, "the leases hold").await;
    held.member
        .done(&held.deliveries[0])
        .await
        .expect("the receipts are good to settle plainly");
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries[1..2])
        .await
        .expect("and in a transaction");
    tx.commit().await.expect("it can be committed");
    f.advance(LEASE);
    same_ids(
        ids(&held.group.drain().await),
        [held.deliveries[2].message.id],
        "and what is not settled is delivered again",
    );
}

pub(crate) async fn dropping_the_transaction_restores_everything<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 2).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("they are held");
    drop(tx);
    settle_all(&*held.member, &held.deliveries[..1]).await;
    f.advance(LEASE);
    same_ids(
        ids(&held.group.drain().await),
        [held.deliveries[1].message.id],
        "dropping a transaction undoes what it settled",
    );
}

pub(crate) async fn settling_nothing_is_fine<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 1).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &[])
        .await
        .expect("settling nothing settles nothing");
    tx.commit().await.expect("it can be committed");
    assert_eq!(held.group.pending().await.len(), 1, "nothing is settled");
}

pub(crate) async fn one_stale_receipt_refuses_all<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 3).await;
    let stale = &held.deliveries[1];
    held.member.release(stale).await.expect("it is held");
    let mut tx = f.begin().await;
    refused(
        f.settle_in(&mut tx, &held.deliveries).await,
        STALE,
        "with a stale receipt in it nothing of a batch is settled",
    );
    tx.rollback().await.expect("it can be undone");
    assert_eq!(held.group.pending().await.len(), 3, "all are owed");
    let good = [held.deliveries[0].clone(), held.deliveries[2].clone()];
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &good)
        .await
        .expect("the others' receipts stay good");
    tx.commit().await.expect("it can be committed");
    same_ids(
        ids(&held.group.drain().await),
        [stale.message.id],
        "the released message is delivered again",
    );
}

pub(crate) async fn every_kind_of_stale_receipt_is_refused<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 5).await;
    let (member, d) = (&held.member, &held.deliveries);
    member.done(&d[0]).await.expect("it is held");
    member.skip(&d[1]).await.expect("it is held");
    member.release(&d[2]).await.expect("it is held");
    member.fail(&d[3], "no").await.expect("it is held");
    f.advance(LEASE);
    take(&*held.group.member().await, 3).await;
    for delivery in d {
        let mut tx = f.begin().await;
        refused(
            f.settle_in(&mut tx, std::slice::from_ref(delivery)).await,
            STALE,
            "a receipt is stale once its message was settled, released, failed or redelivered",
        );
        tx.rollback().await.expect("it can be undone");
    }
    assert_eq!(held.group.pending().await.len(), 3, "nothing was settled");
}

pub(crate) async fn receipts_of_several_groups_are_refused<H: Harness>(f: &Fixture<H>) {
    let (orders, returns) = (f.topic("orders").await, f.topic("returns").await);
    let groups = [
        orders.group("a").await,
        orders.group("b").await,
        returns.group("a").await,
    ];
    orders.publish(1).await;
    returns.publish(1).await;
    let mut held = Vec::new();
    for group in &groups {
        held.extend(take(&*group.member().await, 1).await);
    }
    for (one, two) in [(0, 1), (0, 2), (1, 2)] {
        let mut tx = f.begin().await;
        let both = [held[one].clone(), held[two].clone()];
        refused(
            f.settle_in(&mut tx, &both).await,
            &[ErrorKind::ForeignReceipt],
            "receipts of one call are of one topic and group",
        );
        tx.rollback().await.expect("it can be undone");
    }
    let mut tx = f.begin().await;
    for delivery in &held {
        f.settle_in(&mut tx, std::slice::from_ref(delivery))
            .await
            .expect("one transaction may settle for several groups, a call for each");
    }
    tx.commit().await.expect("it can be committed");
    for group in &groups {
        assert_eq!(group.pending().await, [], "each of them is settled");
    }
}

pub(crate) async fn receipts_of_what_is_gone_are_refused<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 2).await;
    held.group.cancel().await.expect("a group can be cancelled");
    let mut tx = f.begin().await;
    refused(
        f.settle_in(&mut tx, &held.deliveries[..1]).await,
        STALE,
        "receipts of a cancelled subscription are stale",
    );
    tx.rollback().await.expect("it can be undone");
    held.topic
        .delete(DeleteTopic::Forced)
        .await
        .expect("a forced deletion succeeds");
    let mut tx = f.begin().await;
    refused(
        f.settle_in(&mut tx, &held.deliveries[..1]).await,
        &[ErrorKind::StaleReceipt, ErrorKind::ForeignReceipt],
        "receipts of a deleted topic settle nothing",
    );
    tx.rollback().await.expect("it can be undone");
}

/// Of two transactions on one message, runs `first` after both have begun and the second has asked;
/// returns what the second got from its call, and its transaction.
async fn contend<H: Harness>(
    f: &Fixture<H>,
    receipts_of: [&[Delivery]; 2],
    commit_first: bool,
) -> (Result<()>, Result<()>) {
    let mut one = f.begin().await;
    f.settle_in(&mut one, receipts_of[0])
        .await
        .expect("the first to settle is let through");
    let mut two = f.begin().await;
    let (backend, receipts) = (f.backend.clone(), receipts(receipts_of[1]));
    // The second may have to wait for the first, so it needs a task of its own.
    let second = tokio::spawn(async move {
        let settled = backend.settle_in(two.tx(), &receipts).await;
        let committed = match settled {
            Ok(()) => two.commit().await,
            Err(_) => two.rollback().await.and(Ok(())),
        };
        settled.and(committed)
    });
    // Usually enough for it to meet the first; every outcome is judged alike.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let first = if commit_first {
        one.commit().await
    } else {
        one.rollback().await
    };
    (first, second.await.expect("the second does not panic"))
}

pub(crate) async fn of_two_transactions_one_commits<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 1).await;
    let d = &held.deliveries[..];
    let (first, second) = contend(f, [d, d], true).await;
    first.expect("a transaction that was let through commits");
    refused(
        second,
        LOST,
        "of two transactions that settle a message one commits",
    );
    never_again(f, &held).await;
}

pub(crate) async fn when_the_first_transaction_rolls_back_the_second_may_settle<H: Harness>(
    f: &Fixture<H>,
) {
    let held = hold(f, 1).await;
    let d = &held.deliveries[..];
    let (first, second) = contend(f, [d, d], false).await;
    first.expect("a transaction can be undone");
    if let Err(error) = second {
        assert_eq!(
            error.kind(),
            ErrorKind::Conflict,
            "while the first is open the second may be told of the conflict: {error}"
        );
        assert_eq!(held.group.pending().await.len(), 1, "nothing is settled");
        let mut tx = f.begin().await;
        f.settle_in(&mut tx, d)
            .await
            .expect("after the rollback the receipt is as good as before");
        tx.commit().await.expect("it can be committed");
    }
    never_again(f, &held).await;
}

pub(crate) async fn of_two_holders_of_a_message_one_commits<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 1).await;
    let d = &held.deliveries[..];
    let mut one = f.begin().await;
    f.settle_in(&mut one, d).await.expect("it is held");
    f.advance(LEASE);
    let again = take(&*held.group.member().await, 1).await;
    let mut two = f.begin().await;
    let (backend, receipts) = (f.backend.clone(), receipts(&again));
    let second = tokio::spawn(async move {
        match backend.settle_in(two.tx(), &receipts).await {
            Ok(()) => two.commit().await,
            Err(error) => two.rollback().await.and(Err(error)),
        }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let first = one.commit().await;
    let second = second.await.expect("the second does not panic");
    let outcomes = [first, second];
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        1,
        "of two transactions that settle a message exactly one commits: {outcomes:?}"
    );
    for outcome in outcomes {
        if let Err(error) = outcome {
            assert!(
                LOST.contains(&error.kind()),
                "the other learns of it: {error}"
            );
        }
    }
    never_again(f, &held).await;
}

pub(crate) async fn of_many_transactions_one_commits<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 6).await;
    let all = receipts(&held.deliveries);
    let results = together(12, |i| {
        let (backend, receipts) = (f.backend.clone(), vec![all[i % 6]]);
        async move {
            let mut tx = backend.begin().await.expect("one can be begun");
            match backend.settle_in(tx.tx(), &receipts).await {
                Ok(()) => tx.commit().await,
                Err(error) => tx.rollback().await.and(Err(error)),
            }
        }
    })
    .await;
    let (first, second) = results.split_at(6);
    for (message, pair) in first.iter().zip(second).enumerate() {
        let committed = [pair.0, pair.1].iter().filter(|r| r.is_ok()).count();
        assert_eq!(
            committed, 1,
            "of concurrent transactions that settle message {message} one commits: {pair:?}"
        );
    }
    never_again(f, &held).await;
}

pub(crate) async fn overlapping_batches_do_not_deadlock<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 20).await;
    let all = receipts(&held.deliveries);
    let results = together(8, |i| {
        let backend = f.backend.clone();
        // Every two of them overlap, each in an order of its own.
        let mut receipts = all.clone();
        receipts.rotate_left(i * 5 % 20);
        receipts.truncate(12);
        async move {
            let mut tx = backend.begin().await.expect("one can be begun");
            match backend.settle_in(tx.tx(), &receipts).await {
                Ok(()) => tx.commit().await.map(|()| receipts),
                Err(error) => tx.rollback().await.and(Err(error)),
            }
        }
    })
    .await;
    let mut settled = Vec::new();
    for result in results {
        match result {
            Ok(receipts) => settled.extend(receipts.iter().map(|receipt| receipt.id())),
            Err(error) => assert!(
                LOST.contains(&error.kind()),
                "transactions that overlap conflict, and do nothing worse: {error}"
            ),
        }
    }
    let pending = held.group.pending().await;
    same_ids(
        settled.into_iter().chain(pending),
        ids(&held.deliveries),
        "each message is settled once, or owed",
    );
}

pub(crate) async fn consuming_and_producing_is_one_step<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 2).await;
    let output = f.topic("invoices").await;
    let reader = output.group("reader").await;
    for (commit, delivery) in [false, true].into_iter().zip(&held.deliveries) {
        let mut tx = f.begin().await;
        let sent = f.publish_in(&mut tx, &output, 2).await;
        f.settle_in(&mut tx, std::slice::from_ref(delivery))
            .await
            .expect("it is held");
        if commit {
            tx.commit().await.expect("it can be committed");
            same_ids(
                ids(&reader.drain().await),
                sent,
                "with the settlement stands what was published",
            );
            assert!(
                !held.group.pending().await.contains(&delivery.message.id),
                "and the other way round"
            );
        } else {
            tx.rollback().await.expect("it can be undone");
            assert_eq!(
                (reader.pending().await, held.group.pending().await.len()),
                (vec![], 2),
                "of an undone step neither part stands"
            );
        }
    }
}

pub(crate) async fn an_open_settlement_makes_nobody_else_wait<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group("billing").await;
    let others = topic.groups(3).await;
    let sent = topic.publish(6).await;
    let member = group.member().await;
    let held = take(&*member, 6).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held[..3])
        .await
        .expect("they are held");

    // None of these may wait for the transaction: it ends only after them.
    for other in &others {
        same_ids(
            ids(&other.drain().await),
            sent.clone(),
            "other groups take and settle the same messages",
        );
    }
    settle_all(&*member, &held[3..4]).await;
    let mut second = f.begin().await;
    f.settle_in(&mut second, &held[4..5])
        .await
        .expect("calls on other messages of the group go on");
    second.commit().await.expect("and commit");
    let due = f.now() + Duration::from_secs(1);
    let failed = member.fail(&held[5], "no").await;
    assert_eq!(
        failed.expect("it is held"),
        Outcome::Retry { due },
        "failing too"
    );
    let more = topic.publish(2).await;
    let fresh = take(&*member, 2).await;
    same_ids(ids(&fresh), more.clone(), "new messages are delivered");
    settle_all(&*member, &fresh).await;
    let late = topic.group("late").await;
    late.pause().await.expect("groups can be paused");
    late.cancel().await.expect("and cancelled");
    f.maintain().await;

    tx.rollback().await.expect("it can be undone");
    f.maintain_until_idle().await;
    let owed = ids(&held[..3]).into_iter().chain(ids(&held[5..]));
    same_ids(
        group.pending().await,
        owed,
        "what the transaction would have settled is owed after its rollback, and nothing else",
    );
    settle_all(&*member, &held[..3]).await;
    f.advance(Duration::from_secs(1));
    group.drain().await;
    for id in sent {
        let record = topic.record(id).await;
        assert!(
            record.required.len() == 4 && record.completed == record.required,
            "in the end all groups have settled all messages: {record:?}"
        );
    }
}

pub(crate) async fn a_lease_may_end_inside_a_transaction<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 1).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("it is held");
    f.advance(LEASE);
    let other = held.group.member().await;
    let again = take(&*other, 1).await.remove(0);
    tx.commit()
        .await
        .expect("a commit settles, also when the lease ended inside the transaction");
    refused(
        other.done(&again).await,
        STALE,
        "whoever got the message meanwhile holds a stale receipt",
    );
    refused(other.fail(&again, "no").await, STALE, "for any verdict");
    never_again(f, &held).await;
}

pub(crate) async fn an_expired_lease_that_nobody_took_settles<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 1).await;
    f.advance(LEASE * 2);
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("a receipt is good until somebody else gets the message");
    tx.commit().await.expect("it can be committed");
    never_again(f, &held).await;
}

pub(crate) async fn a_cancellation_meets_an_open_settlement<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 2).await;
    let other = held.topic.group("other").await;
    let later = held.topic.publish(1).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("they are held");
    held.group
        .cancel()
        .await
        .expect("a cancellation does not wait for an open settlement");
    match tx.commit().await {
        Ok(()) => {}
        Err(error) => assert!(
            LOST.contains(&error.kind()),
            "the settlement stands or is stale: {error}"
        ),
    }
    f.maintain_until_idle().await;
    assert_eq!(
        held.group.pending().await,
        [],
        "the cancelled group owes nothing"
    );
    same_ids(
        ids(&other.drain().await),
        later,
        "the other group is not concerned",
    );
    f.maintain_until_idle().await;
    held.topic
        .delete(DeleteTopic::IfSettled)
        .await
        .expect("nothing holds the topic back");
}

pub(crate) async fn work_that_fails_settles_nothing<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 2).await;
    let d = receipts(&held.deliveries);
    let result = f
        .backend
        .with_tx(async |tx| {
            f.backend.settle_in(tx, &d[..1]).await?;
            Err::<(), _>(Error::new(ErrorKind::InvalidInput, "the caller's own"))
        })
        .await;
    refused(
        result,
        &[ErrorKind::InvalidInput],
        "the work's own error comes back",
    );
    assert_eq!(held.group.pending().await.len(), 2, "nothing is settled");
    f.backend
        .with_tx(async |tx| f.backend.settle_in(tx, &d[..1]).await)
        .await
        .expect("work that succeeds is committed");
    assert_eq!(held.group.pending().await.len(), 1, "and settles");
}

pub(crate) async fn every_input_has_its_effect_once<H: Harness>(f: &Fixture<H>) {
    let input = f.topic("orders").await;
    let output = f.topic("invoices").await;
    let patient = SubscriptionOptions {
        max_stalls: 1_000_000,
        max_attempts: 1_000_000,
        ..options()
    };
    let group = input.group_with("billing", patient).await;
    let reader = output.group("reader").await;
    let sent = input.publish(60).await;
    together(8, |worker| {
        let (backend, group) = (f.backend.clone(), group.clone());
        let (output, clock) = (output.name().clone(), f.clock.clone());
        async move {
            let mut member = group.member().await;
            for round in 0_usize.. {
                let deliveries = fetch(&*member, 3).await;
                if deliveries.is_empty() && group.pending().await.is_empty() {
                    return;
                }
                match (worker + round) % 5 {
                    // Holds on to what it has until the lease has ended.
                    0 => drop(clock.advance(LEASE)),
                    // Crashes.
                    1 => {
                        member = group.member().await;
                        clock.advance(LEASE / 2);
                        continue;
                    }
                    _ => {}
                }
                for delivery in deliveries {
                    let mut tx = backend.begin().await.expect("one can be begun");
                    let effect = NewMessage::new(delivery.message.id.to_string());
                    let sent = backend.publish_in(tx.tx(), &output, vec![effect]).await;
                    sent.expect("a good batch is published");
                    let settled = backend.settle_in(tx.tx(), &[delivery.receipt]).await;
                    let ended = match settled {
                        Ok(()) if round % 4 != 3 => tx.commit().await,
                        Ok(()) => tx.rollback().await,
                        Err(error) => tx.rollback().await.and(Err(error)),
                    };
                    if let Err(error) = ended {
                        assert!(
                            LOST.contains(&error.kind()),
                            "who is late loses, and nothing else goes wrong: {error}"
                        );
                    }
                }
                // So that what a rollback left is not waited for.
                clock.advance(LEASE / 4);
            }
        }
    })
    .await;
    let mut effects: BTreeMap<String, usize> = BTreeMap::new();
    for delivery in reader.drain().await {
        let input = String::from_utf8_lossy(&delivery.message.payload).into_owned();
        *effects.entry(input).or_default() += 1;
    }
    let expected = sent.iter().map(|id| (id.to_string(), 1)).collect();
    assert_eq!(
        effects, expected,
        "with settlement and effect in one transaction every input has its effect exactly once"
    );
}

pub(crate) async fn a_plain_settlement_meets_an_undone_one<H: Harness>(f: &Fixture<H>) {
    let held = hold(f, 1).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("it is held");
    let (member, receipt) = (held.member.clone(), held.deliveries[0].receipt);
    // It may have to wait for the transaction, so it needs a task of its own.
    let plain = tokio::spawn(async move { member.settle(&[Settlement::done(receipt)]).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tx.rollback().await.expect("it can be undone");
    let plain = plain.await.expect("the other call does not panic");
    assert_eq!(
        plain.expect("the message is the group's own"),
        [Outcome::Applied],
        "with the transaction undone the plain settlement takes effect"
    );
    assert_eq!(messages(1).len(), held.deliveries.len(), "one message");
    never_again(f, &held).await;
}
