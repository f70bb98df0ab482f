//! Transactions that settle, and what else happens to their messages meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use fanout_core::{
    DeleteTopic, Delivery, ErrorKind, MemberExt, NewMessage, Outcome, Result, Settlement,
    Transactional,
};

use crate::Harness;
use crate::stage::{
    Chance, Fixture, LEASE, LOST, STALE, begin_waiting, fetch, hold, ids, never_again, options,
    patient, receipts, refused, same_ids, settle_all, take, together,
};

/// Two transactions settle messages, and the first ends after the second has asked, by commit or by
/// rollback; what came of each.
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
    let second = begin_waiting(async move {
        let settled = backend.settle_in(two.tx(), &receipts).await;
        let committed = match settled {
            Ok(()) => two.commit().await,
            Err(_) => two.rollback().await.and(Ok(())),
        };
        settled.and(committed)
    })
    .await;
    let first = if commit_first {
        one.commit().await
    } else {
        one.rollback().await
    };
    (first, second.await.expect("the second does not panic"))
}

pub(crate) async fn of_two_transactions_one_commits<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 1).await;
    let d = &held.deliveries[..];
    let (first, second) = contend(f, [d, d], true).await;
    first.expect("a transaction that was let through commits");
    refused(
        second,
        LOST,
        "of two transactions that settle a message one commits",
    );
    never_again(f.scene(), &held).await;
}

pub(crate) async fn when_the_first_transaction_rolls_back_the_second_may_settle<H: Harness>(
    f: &Fixture<H>,
) {
    let held = hold(f.scene(), 1).await;
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
    never_again(f.scene(), &held).await;
}

pub(crate) async fn of_two_holders_of_a_message_one_commits<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 1).await;
    let d = &held.deliveries[..];
    let mut one = f.begin().await;
    f.settle_in(&mut one, d).await.expect("it is held");
    f.lapse();
    let again = take(&*held.group.member().await, 1).await;
    let mut two = f.begin().await;
    let (backend, receipts) = (f.backend.clone(), receipts(&again));
    let second = begin_waiting(async move {
        match backend.settle_in(two.tx(), &receipts).await {
            Ok(()) => two.commit().await,
            Err(error) => two.rollback().await.and(Err(error)),
        }
    })
    .await;
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
    never_again(f.scene(), &held).await;
}

pub(crate) async fn of_many_transactions_one_commits<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 6).await;
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
    never_again(f.scene(), &held).await;
}

pub(crate) async fn overlapping_batches_do_not_deadlock<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 20).await;
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
    let promise = "in the end all groups have settled all messages";
    topic.complete(&sent, promise).await;
    assert_eq!(group.pending().await, [], "{promise}");
}

pub(crate) async fn a_lease_may_end_inside_a_transaction<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 1).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("it is held");
    f.lapse();
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
    never_again(f.scene(), &held).await;
}

pub(crate) async fn a_cancellation_meets_an_open_settlement<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 2).await;
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

pub(crate) async fn every_input_has_its_effect_once<H: Harness>(f: &Fixture<H>) {
    let input = f.topic("orders").await;
    let output = f.topic("invoices").await;
    let group = input.group_with("billing", patient(options())).await;
    let reader = output.group("reader").await;
    let sent = input.publish(60).await;
    together(8, |worker| {
        let (backend, group) = (f.backend.clone(), group.clone());
        let (output, clock) = (output.name().clone(), f.clock.clone());
        async move {
            let mut member = group.member().await;
            let mut chance = Chance::new(worker);
            loop {
                let deliveries = fetch(&*member, 3).await;
                if deliveries.is_empty() {
                    if group.pending().await.is_empty() {
                        return;
                    }
                    // So that what a rollback or a crash left is not waited for.
                    clock.advance(LEASE / 16);
                    continue;
                }
                match chance.below(20) {
                    // Holds on to what it has until the lease has ended.
                    0 | 1 => drop(clock.advance(LEASE)),
                    // Crashes.
                    2 | 3 => {
                        member = group.member().await;
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
                        Ok(()) if chance.below(4) != 0 => tx.commit().await,
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
    let held = hold(f.scene(), 1).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("it is held");
    let (member, receipt) = (held.member.clone(), held.deliveries[0].receipt);
    // It may have to wait for the transaction, so it needs a task of its own.
    let plain =
        begin_waiting(async move { member.settle(&[Settlement::done(receipt)]).await }).await;
    tx.rollback().await.expect("it can be undone");
    let plain = plain.await.expect("the other call does not panic");
    assert_eq!(
        plain.expect("the message is the group's own"),
        [Outcome::Applied],
        "with the transaction undone the plain settlement takes effect"
    );
    never_again(f.scene(), &held).await;
}
