//! Order per key: who may get what, and what may be settled.

use fanout_core::{
    Backend, ErrorKind, MemberExt, MessageId, Outcome, Settlement, SubscriptionOptions,
    Transactional,
};

use crate::stage::{LEASE, Stage, group, ids, is_tracked, keyed, kind, offset, per_key, take};

#[tokio::test]
async fn a_key_stays_with_the_member_that_has_its_earlier_messages() {
    for config in [offset(), Default::default()] {
        let stage = Stage::of(config).await;
        let (a, b) = (
            stage.join_with("g", per_key()).await,
            stage.join_with("g", per_key()).await,
        );
        stage.publish_keyed("x y x y x -").await;
        let first = take(&a, 1).await;
        assert_eq!(ids(&first), [1]);
        let others = take(&b, 10).await;
        assert_eq!(ids(&others), [2, 4, 6], "every key but that of the first");
        let rest = take(&a, 10).await;
        assert_eq!(ids(&rest), [3, 5]);
        assert!(first.iter().chain(&others).all(|d| !is_tracked(d)));

        a.done(&first[0]).await.unwrap();
        assert!(
            take(&b, 10).await.is_empty(),
            "the other member has the rest"
        );
        a.done_all(&rest).await.unwrap();
        b.done_all(&others).await.unwrap();
        assert_eq!(stage.pending("g").await, [0; 0]);
    }
}

#[tokio::test]
async fn a_later_message_of_a_key_is_not_settled_first() {
    let stage = Stage::of(offset()).await;
    let member = stage.join_with("g", per_key()).await;
    stage.publish_keyed("x x y x").await;
    let held = take(&member, 10).await;
    let settle = |at: usize| Settlement::done(held[at].receipt);
    let refused = [
        settle(1),
        Settlement::skip(held[3].receipt),
        Settlement::fail(held[1].receipt, "no"),
    ];
    assert_eq!(
        member.settle(&refused).await.unwrap(),
        [Outcome::OutOfOrder; 3]
    );
    assert_eq!(
        kind(member.done(&held[1]).await),
        ErrorKind::OutOfOrder,
        "the receipt is not stale"
    );
    assert_eq!(member.counters().refused, 4);
    // In whatever order they stand in the call.
    let all = [settle(3), settle(2), settle(1), settle(0)];
    assert_eq!(member.settle(&all).await.unwrap(), [Outcome::Applied; 4]);
}

#[tokio::test]
async fn messages_without_a_key_have_no_order() {
    let stage = Stage::of(offset()).await;
    let (a, b) = (
        stage.join_with("g", per_key()).await,
        stage.join_with("g", per_key()).await,
    );
    stage.publish_keyed("- - -").await;
    assert_eq!(ids(&take(&a, 1).await), [1]);
    let others = take(&b, 10).await;
    assert_eq!(ids(&others), [2, 3]);
    b.done(&others[1]).await.unwrap();
    assert_eq!(stage.pending("g").await, [1, 2]);
}

#[tokio::test]
async fn order_is_that_of_commits() {
    let stage = Stage::of(offset()).await;
    let (ordered, any) = (
        stage.join_with("ordered", per_key()).await,
        stage.join("any").await,
    );
    let mut late = stage.backend.begin().await.unwrap();
    for keys in ["x x", "x"] {
        stage
            .backend
            .publish_in(late.tx(), &stage.topic, keyed(keys))
            .await
            .unwrap();
    }
    stage.publish_keyed("x").await;
    late.commit().await.unwrap();
    stage.publish_keyed("x").await;
    assert_eq!(ids(&take(&ordered, 10).await), [4, 1, 2, 3, 5]);
    assert_eq!(ids(&take(&any, 10).await), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_released_message_comes_before_the_later_ones_of_its_key() {
    let stage = Stage::of(offset()).await;
    let (a, b) = (
        stage.join_with("g", per_key()).await,
        stage.join_with("g", per_key()).await,
    );
    stage.publish_keyed("x x x").await;
    let held = take(&a, 2).await;
    let settlements = [
        Settlement::done(held[1].receipt),
        Settlement::release(held[0].receipt),
    ];
    assert_eq!(
        a.settle(&settlements).await.unwrap(),
        [Outcome::OutOfOrder, Outcome::Applied],
        "given back, it is still unsettled"
    );
    let first = take(&b, 10).await;
    assert_eq!(ids(&first), [1], "2 is in the hand of the other member");
    assert!(take(&a, 10).await.is_empty(), "1 is");
    b.done(&first[0]).await.unwrap();
    assert_eq!(ids(&take(&a, 10).await), [3]);
    a.release(&held[1]).await.unwrap();
    assert_eq!(ids(&take(&b, 10).await), [2]);
}

#[tokio::test]
async fn a_member_that_goes_leaves_its_keys_to_others_in_order() {
    let stage = Stage::of(offset()).await;
    let (a, b) = (
        stage.join_with("g", per_key()).await,
        stage.join_with("g", per_key()).await,
    );
    stage.publish_keyed("x x y x").await;
    let lost = take(&a, 2).await;
    stage.clock.advance(LEASE);
    let taken = take(&b, 10).await;
    assert_eq!(ids(&taken), [1, 2, 3, 4]);
    assert!(taken.iter().all(|d| d.attempt == 1));
    assert_eq!(kind(a.done(&lost[0]).await), ErrorKind::StaleReceipt);

    b.leave().await.unwrap();
    assert_eq!(ids(&take(&a, 10).await), [1, 2, 3, 4]);
}

#[tokio::test]
async fn an_expired_lease_holds_up_the_key_until_it_is_delivered_again() {
    let stage = Stage::of(offset()).await;
    let (a, b) = (
        stage.join_with("g", per_key()).await,
        stage.join_with("g", per_key()).await,
    );
    stage.publish_keyed("x x x").await;
    let held = take(&a, 2).await;
    a.extend(&[held[1].receipt], LEASE * 3).await.unwrap();
    stage.clock.advance(LEASE);
    assert_eq!(ids(&take(&b, 10).await), [1]);
    stage.clock.advance(LEASE);
    let again = take(&a, 10).await;
    assert_eq!(ids(&again), [1, 3], "2 is in this member's hand");
    let settlements: Vec<_> = [&again[1], &held[1], &again[0]]
        .map(|d| Settlement::done(d.receipt))
        .to_vec();
    assert_eq!(a.settle(&settlements).await.unwrap(), [Outcome::Applied; 3]);
}

#[tokio::test]
async fn poison_lets_its_key_go_on() {
    let stage = Stage::of(offset()).await;
    let options = SubscriptionOptions {
        max_stalls: 1,
        ..per_key()
    };
    let member = stage.join_with("g", options).await;
    stage.publish_keyed("x x").await;
    assert_eq!(ids(&take(&member, 1).await), [1]);
    stage.clock.advance(LEASE);
    assert_eq!(ids(&take(&member, 1).await), [2]);
    assert_eq!(stage.stats("g").await.dead_letters, 1);
}

#[tokio::test]
async fn a_transaction_keeps_the_order_of_a_key_too() {
    let stage = Stage::of(offset()).await;
    let member = stage.join_with("g", per_key()).await;
    stage.publish_keyed("x x x y").await;
    let held = take(&member, 10).await;
    let alone = stage.settle_in(&[&held[1]]).await;
    assert_eq!(kind(alone), ErrorKind::OutOfOrder);
    stage.settle_in(&[&held[1], &held[0]]).await.unwrap();

    // Pledged is not settled, but for the transaction itself.
    let mut open = stage.backend.begin().await.unwrap();
    let (third, other) = (held[2].receipt, held[3].receipt);
    stage.backend.settle_in(open.tx(), &[third]).await.unwrap();
    stage.publish_keyed("x").await;
    let last = take(&member, 10).await;
    assert_eq!(kind(member.done(&last[0]).await), ErrorKind::OutOfOrder);
    let elsewhere = stage.settle_in(&[&last[0]]).await;
    assert_eq!(kind(elsewhere), ErrorKind::OutOfOrder);
    stage.backend.settle_in(open.tx(), &[other]).await.unwrap();
    let receipts = [last[0].receipt];
    stage.backend.settle_in(open.tx(), &receipts).await.unwrap();
    open.commit().await.unwrap();
    assert_eq!(stage.pending("g").await, [0; 0]);
}

#[tokio::test]
async fn only_groups_of_any_order_are_required() {
    let stage = Stage::new().await;
    let ordered = stage.join_with("ordered", per_key()).await;
    let any = stage.join("any").await;
    stage.publish_keyed("x").await;
    let record = async || {
        let found = stage.backend.accounting(&stage.topic, MessageId(0), 10);
        found.await.unwrap().remove(0)
    };
    assert_eq!(record().await.required, [group("any")].into());
    ordered.done(&take(&ordered, 1).await[0]).await.unwrap();
    assert_eq!(record().await.completed_at, None);
    let taken = take(&any, 1).await;
    assert!(is_tracked(&taken[0]));
    any.done(&taken[0]).await.unwrap();
    assert_eq!(record().await.required, record().await.completed);
    assert!(record().await.completed_at.is_some());
}
