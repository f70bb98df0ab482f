//! Order per key where messages are settled in the caller's transaction.

use fanout_core::{ErrorKind, MemberExt};

use crate::Harness;
use crate::stage::{Fixture, TestGroup, of_key, ordered, refused, settle_all, take};

const EARLY: &[ErrorKind] = &[ErrorKind::OutOfOrder];

async fn ordered_group<H: Harness>(f: &Fixture<H>, n: usize) -> TestGroup {
    let topic = f.topic("orders").await;
    let group = topic.group_with("billing", ordered()).await;
    topic.publish_all(of_key("a", n)).await;
    group
}

pub(crate) async fn a_transaction_settles_in_order<H: Harness>(f: &Fixture<H>) {
    let group = ordered_group(f, 4).await;
    let member = group.member().await;
    let mut held = take(&*member, 4).await;
    f.no_transaction_settles(
        &held[1..],
        EARLY,
        "in a transaction too nothing is settled before an earlier message of its key",
    )
    .await;
    assert_eq!(group.pending().await.len(), 4, "nothing is settled");

    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held[..1])
        .await
        .expect("the first is in its place");
    // In whatever order they stand in a call.
    held.reverse();
    f.settle_in(&mut tx, &held[..3])
        .await
        .expect("what the transaction has settled itself opens the way");
    tx.commit().await.expect("it can be committed");
    assert_eq!(group.pending().await, [], "all are settled");
}

pub(crate) async fn an_open_settlement_does_not_open_the_way<H: Harness>(f: &Fixture<H>) {
    let group = ordered_group(f, 2).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    let mut one = f.begin().await;
    f.settle_in(&mut one, &held[..1]).await.expect("it is held");
    let promise = "what another transaction may yet undo is not settled";
    refused(member.done(&held[1]).await, EARLY, promise);
    let mut two = f.begin().await;
    refused(f.settle_in(&mut two, &held[1..]).await, EARLY, promise);
    two.rollback().await.expect("it can be undone");
    one.rollback().await.expect("it can be undone");
    refused(member.done(&held[1]).await, EARLY, "nor what was undone");
    settle_all(&*member, &held).await;
}

pub(crate) async fn a_committed_settlement_opens_the_way<H: Harness>(f: &Fixture<H>) {
    let group = ordered_group(f, 4).await;
    let member = group.member().await;
    let held = take(&*member, 4).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held[..2])
        .await
        .expect("they are held");
    tx.commit().await.expect("it can be committed");
    member
        .done(&held[2])
        .await
        .expect("what a transaction settled is settled from its commit on");
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held[3..])
        .await
        .expect("settlements of either kind follow one another");
    tx.commit().await.expect("it can be committed");
    assert_eq!(group.pending().await, [], "all are settled");
}
