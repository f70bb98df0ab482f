//! Transactions: nothing before the commit, nothing after a drop.

use fanout_core::{
    Backend, Error, ErrorKind, MemberExt, MessageId, Transactional, TransactionalExt,
};
use fanout_memory::MemoryBackend;

use crate::stage::{LEASE, Stage, batch, group, ids, kind, take};

#[tokio::test]
async fn dropping_an_open_transaction_leaves_no_trace_but_burnt_ids() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    let held = take(&member, 1).await;
    let mut open = stage.backend.begin().await.unwrap();
    stage
        .backend
        .publish_in(open.tx(), &stage.topic, batch(3, 1))
        .await
        .unwrap();
    stage
        .backend
        .settle_in(open.tx(), &[held[0].receipt])
        .await
        .unwrap();
    assert_eq!(stage.pending("g").await, [1]);
    drop(open);

    assert_eq!(stage.pending("g").await, [1]);
    let mut next = stage.backend.begin().await.unwrap();
    stage
        .backend
        .settle_in(next.tx(), &[held[0].receipt])
        .await
        .unwrap();
    next.commit().await.unwrap();
    assert_eq!(stage.pending("g").await, [0; 0]);
    assert_eq!(stage.publish(1, 1).await.unwrap(), [MessageId(5)]);
}

#[tokio::test]
async fn a_panic_and_a_dropped_future_roll_back() {
    let stage = Stage::new().await;
    stage.join("g").await;
    let (backend, topic) = (stage.backend.clone(), stage.topic.clone());
    let panicked = tokio::spawn(async move {
        backend
            .with_tx(async |tx| {
                backend.publish_in(tx, &topic, batch(1, 1)).await?;
                if topic.as_str() == "orders" {
                    panic!("in the middle");
                }
                Ok::<_, Error>(())
            })
            .await
    });
    assert!(panicked.await.unwrap_err().is_panic());

    let (backend, topic) = (&stage.backend, &stage.topic);
    let (reached, wait) = tokio::sync::oneshot::channel();
    let work = backend.with_tx(async |tx| {
        backend.publish_in(tx, topic, batch(1, 1)).await?;
        reached.send(()).unwrap();
        std::future::pending::<Result<(), Error>>().await
    });
    tokio::select! {
        _ = work => unreachable!("it waits for ever"),
        reached = wait => reached.unwrap(),
    }
    assert_eq!(stage.pending("g").await, [0; 0]);
    assert_eq!(stage.publish(1, 1).await.unwrap(), [MessageId(3)]);
}

#[tokio::test]
async fn two_transactions_cannot_settle_one_message() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(2, 1).await.unwrap();
    let held = take(&member, 2).await;
    let (first, second) = (held[0].receipt, held[1].receipt);
    let mut open = stage.backend.begin().await.unwrap();
    stage.backend.settle_in(open.tx(), &[first]).await.unwrap();

    let mut other = stage.backend.begin().await.unwrap();
    let settled = stage.backend.settle_in(other.tx(), &[second, first]).await;
    assert_eq!(kind(settled), ErrorKind::Conflict);
    let again = stage
        .backend
        .publish_in(other.tx(), &stage.topic, batch(1, 1))
        .await;
    assert_eq!(
        kind(again),
        ErrorKind::Conflict,
        "it can only be rolled back"
    );
    assert_eq!(kind(other.commit().await), ErrorKind::Conflict);

    open.commit().await.unwrap();
    assert_eq!(stage.pending("g").await, [2]);
    member.done(&held[1]).await.unwrap();
}

#[tokio::test]
async fn a_receipt_is_used_once_in_a_transaction() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    let receipt = take(&member, 1).await[0].receipt;
    for receipts in [vec![receipt, receipt], vec![receipt]] {
        let mut open = stage.backend.begin().await.unwrap();
        let first = stage.backend.settle_in(open.tx(), &receipts).await;
        if receipts.len() == 2 {
            assert_eq!(kind(first), ErrorKind::StaleReceipt);
            continue;
        }
        first.unwrap();
        let again = stage.backend.settle_in(open.tx(), &receipts).await;
        assert_eq!(kind(again), ErrorKind::StaleReceipt);
        assert_eq!(kind(open.commit().await), ErrorKind::StaleReceipt);
    }
    assert_eq!(stage.pending("g").await, [1]);
}

#[tokio::test]
async fn a_commit_settles_whoever_holds_the_message_by_then() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(2, 1).await.unwrap();
    let held = take(&member, 2).await;
    let mut open = stage.backend.begin().await.unwrap();
    let receipts = [held[0].receipt, held[1].receipt];
    stage.backend.settle_in(open.tx(), &receipts).await.unwrap();
    stage.clock.advance(LEASE);
    let again = take(&member, 1).await;
    assert_eq!(
        ids(&again),
        [1],
        "the lease ended inside the open transaction"
    );
    let mut other = stage.backend.begin().await.unwrap();
    let settled = stage
        .backend
        .settle_in(other.tx(), &[again[0].receipt])
        .await;
    assert_eq!(kind(settled), ErrorKind::Conflict);

    member.leave().await.unwrap();
    open.commit().await.unwrap();
    assert_eq!(stage.pending("g").await, [0; 0]);
    let rejoined = stage.join("g").await;
    assert_eq!(
        kind(rejoined.done(&again[0]).await),
        ErrorKind::StaleReceipt
    );
}

#[tokio::test]
async fn a_message_settled_otherwise_makes_the_commit_a_conflict() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    let held = take(&member, 1).await;
    let mut open = stage.backend.begin().await.unwrap();
    stage
        .backend
        .settle_in(open.tx(), &[held[0].receipt])
        .await
        .unwrap();
    stage
        .backend
        .publish_in(open.tx(), &stage.topic, batch(1, 1))
        .await
        .unwrap();
    member.done(&held[0]).await.unwrap();
    assert_eq!(kind(open.commit().await), ErrorKind::Conflict);
    assert_eq!(stage.pending("g").await, [0; 0], "nothing of it stands");
}

#[tokio::test]
async fn a_settlement_for_a_cancelled_subscription_is_void() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    let held = take(&member, 1).await;
    let mut open = stage.backend.begin().await.unwrap();
    stage
        .backend
        .settle_in(open.tx(), &[held[0].receipt])
        .await
        .unwrap();
    stage
        .backend
        .publish_in(open.tx(), &stage.topic, batch(1, 1))
        .await
        .unwrap();
    stage
        .backend
        .cancel(&stage.topic, &group("g"))
        .await
        .unwrap();
    stage.join("h").await;
    open.commit().await.unwrap();
    assert_eq!(
        stage.pending("h").await,
        [2],
        "owed by whoever counts at the commit"
    );
    let records = stage
        .backend
        .accounting(&stage.topic, MessageId(0), 10)
        .await
        .unwrap();
    assert!(records[0].required.is_empty() && records[0].completed.is_empty());
}

#[tokio::test]
async fn a_late_commit_is_delivered_though_later_ids_were_settled() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    let mut open = stage.backend.begin().await.unwrap();
    stage
        .backend
        .publish_in(open.tx(), &stage.topic, batch(2, 1))
        .await
        .unwrap();
    stage.publish(2, 1).await.unwrap();
    let early = take(&member, 10).await;
    assert_eq!(ids(&early), [3, 4]);
    member.done_all(&early).await.unwrap();
    open.commit().await.unwrap();
    assert_eq!(ids(&take(&member, 10).await), [1, 2]);
}

#[tokio::test]
async fn a_transaction_of_another_engine_is_refused() {
    let stage = Stage::new().await;
    let other = MemoryBackend::new();
    let mut open = other.begin().await.unwrap();
    let published = stage
        .backend
        .publish_in(open.tx(), &stage.topic, batch(1, 1))
        .await;
    assert_eq!(kind(published), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_closed_engine_commits_nothing() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    let mut open = stage.backend.begin().await.unwrap();
    stage
        .backend
        .publish_in(open.tx(), &stage.topic, batch(1, 1))
        .await
        .unwrap();
    stage.backend.close();
    stage.backend.close();
    assert_eq!(kind(open.commit().await), ErrorKind::Closed);
    assert_eq!(kind(member.fetch(1).await), ErrorKind::Closed);
    assert_eq!(
        kind(stage.backend.clone().topics().await),
        ErrorKind::Closed
    );
    assert!(matches!(stage.backend.begin().await, Err(error) if error.kind() == ErrorKind::Closed));
}
