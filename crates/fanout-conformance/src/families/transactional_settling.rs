//! Settling in the caller's transaction.

use fanout_core::{
    DeleteTopic, Error, ErrorKind, Extension, MemberExt, Transactional, TransactionalExt,
};

use crate::Harness;
use crate::stage::{
    Fixture, LEASE, LOST, STALE, hold, ids, never_again, of_key, ordered, receipts, refused,
    same_ids, settle_all, take,
};

pub(crate) async fn a_commit_settles<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 3).await;
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
    never_again(f.scene(), &held).await;
    let settled = ids(&held.deliveries);
    let promise = "the accounting is complete";
    held.topic.complete(&settled, promise).await;
}

pub(crate) async fn a_rollback_restores_everything<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 3).await;
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
    held.group.nothing("the leases hold").await;
    held.member
        .done(&held.deliveries[0])
        .await
        .expect("the receipts are good to settle plainly");
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries[1..2])
        .await
        .expect("and in a transaction");
    tx.commit().await.expect("it can be committed");
    f.lapse();
    same_ids(
        ids(&held.group.drain().await),
        [held.deliveries[2].message.id],
        "and what is not settled is delivered again",
    );
}

pub(crate) async fn dropping_the_transaction_restores_everything<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 2).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("they are held");
    drop(tx);
    settle_all(&*held.member, &held.deliveries[..1]).await;
    f.lapse();
    same_ids(
        ids(&held.group.drain().await),
        [held.deliveries[1].message.id],
        "dropping a transaction undoes what it settled",
    );
}

pub(crate) async fn settling_nothing_is_fine<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 1).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &[])
        .await
        .expect("settling nothing settles nothing");
    tx.commit().await.expect("it can be committed");
    assert_eq!(held.group.pending().await.len(), 1, "nothing is settled");
}

pub(crate) async fn one_stale_receipt_refuses_all<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 3).await;
    let stale = &held.deliveries[1];
    held.member.release(stale).await.expect("it is held");
    f.no_transaction_settles(
        &held.deliveries,
        STALE,
        "with a stale receipt in it nothing of a batch is settled",
    )
    .await;
    assert_eq!(held.group.pending().await.len(), 3, "all are owed");
    let good = [held.deliveries[0].clone(), held.deliveries[2].clone()];
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &good)
        .await
        .expect("the others' receipts stay good");
    tx.commit().await.expect("it can be committed");
    same_ids(
        ids(&held.group.drain_by(&*held.member).await),
        [stale.message.id],
        "the released message is delivered again",
    );
}

pub(crate) async fn every_kind_of_stale_receipt_is_refused<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 5).await;
    let (member, d) = (&held.member, &held.deliveries);
    member.done(&d[0]).await.expect("it is held");
    member.skip(&d[1]).await.expect("it is held");
    member.release(&d[2]).await.expect("it is held");
    member.fail(&d[3], "no").await.expect("it is held");
    f.lapse();
    take(&*held.group.member().await, 3).await;
    for delivery in d {
        f.no_transaction_settles(
            std::slice::from_ref(delivery),
            STALE,
            "a receipt is stale once its message was settled, released, failed or redelivered",
        )
        .await;
    }
    assert_eq!(held.group.pending().await.len(), 3, "nothing was settled");
}

pub(crate) async fn what_another_has_by_now_is_stale_whatever_its_order<H: Harness>(
    f: &Fixture<H>,
) {
    let topic = f.topic("orders").await;
    let group = topic.at("billing");
    group.subscribe(ordered()).await.expect("subscribes");
    topic.publish_all(of_key("k", 2)).await;
    let former = group.member().await;
    let held = take(&*former, 2).await;
    f.lapse();
    take(&*group.member().await, 2).await;
    f.no_transaction_settles(
        &held[1..],
        STALE,
        "settling the earlier one first would not help",
    )
    .await;
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
    let held = hold(f.scene(), 2).await;
    held.group.cancel().await.expect("a group can be cancelled");
    f.no_transaction_settles(
        &held.deliveries[..1],
        STALE,
        "receipts of a cancelled subscription are stale",
    )
    .await;
    held.topic
        .delete(DeleteTopic::Forced)
        .await
        .expect("a forced deletion succeeds");
    let mut tx = f.begin().await;
    refused(
        f.settle_in(&mut tx, &held.deliveries[..1]).await,
        &[STALE, &[ErrorKind::ForeignReceipt]].concat(),
        "receipts of a deleted topic settle nothing",
    );
    tx.rollback().await.expect("it can be undone");
}

pub(crate) async fn consuming_and_producing_is_one_step<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 2).await;
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

pub(crate) async fn an_expired_lease_that_nobody_took_settles<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 1).await;
    f.advance(LEASE * 2);
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held.deliveries)
        .await
        .expect("a receipt is good until somebody else gets the message");
    tx.commit().await.expect("it can be committed");
    never_again(f.scene(), &held).await;
}

pub(crate) async fn work_that_fails_settles_nothing<H: Harness>(f: &Fixture<H>) {
    let held = hold(f.scene(), 2).await;
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
