//! A bounded engine drops what nobody owes, oldest first, and refuses when that does not suffice.

use fanout_core::{
    Backend, BackendExt, DeleteTopic, ErrorKind, MemberExt, NewMessage, SubscriptionOptions,
    TopicConfig, Transactional, TransactionalExt,
};
use fanout_memory::MemoryBackend;

use crate::stage::{Stage, batch, group, ids, kind, take, topic};

/// What a message of 744 bytes counts, and ten of which fill the engine.
const MESSAGE: usize = 744;

async fn for_ten() -> Stage {
    Stage::with(MemoryBackend::builder().max_bytes(10_000)).await
}

#[tokio::test]
async fn a_full_engine_refuses_and_loses_nothing() {
    let stage = for_ten().await;
    let member = stage.join("a").await;
    stage.publish(10, MESSAGE).await.unwrap();
    let error = stage.publish(1, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    assert!(error.kind().is_transient());
    let message = error.message();
    assert!(
        message.contains("full") && message.contains("max_bytes=`10000`"),
        "{message}"
    );
    assert_eq!(stage.pending("a").await, (1..=10).collect::<Vec<_>>());
    assert_eq!(stage.dropped().await, 0);

    for delivery in take(&member, 10).await {
        member.done(&delivery).await.unwrap();
    }
    assert_eq!(
        stage.publish(1, 0).await.unwrap()[0].0,
        11,
        "no id was burnt"
    );
}

#[tokio::test]
async fn what_nobody_owes_goes_first_and_oldest_first() {
    let stage = for_ten().await;
    let member = stage.join("a").await;
    stage.publish(10, MESSAGE).await.unwrap();
    let all = take(&member, 10).await;
    member.done_all(&all[..4]).await.unwrap();
    stage.publish(3, MESSAGE).await.unwrap();
    assert_eq!(stage.kept().await, (4..=13).collect::<Vec<_>>());
    assert_eq!(stage.dropped().await, 3);
    assert_eq!(stage.pending("a").await, (5..=13).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_is_dropped_when_it_would_not_suffice() {
    let stage = for_ten().await;
    let member = stage.join("a").await;
    stage.publish(10, MESSAGE).await.unwrap();
    member.done_all(&take(&member, 4).await).await.unwrap();
    assert_eq!(
        kind(stage.publish(5, MESSAGE).await),
        ErrorKind::CapacityExceeded
    );
    assert_eq!(stage.kept().await.len(), 10);
    assert_eq!(stage.dropped().await, 0);
    assert_eq!(
        kind(stage.publish(11, MESSAGE).await),
        ErrorKind::CapacityExceeded
    );
}

#[tokio::test]
async fn an_owed_message_keeps_the_dropped_id_back() {
    let stage = for_ten().await;
    let member = stage.join("a").await;
    stage.publish(10, MESSAGE).await.unwrap();
    let all = take(&member, 10).await;
    member.done_all(&all[1..]).await.unwrap();
    stage.publish(9, MESSAGE).await.unwrap();
    assert_eq!(stage.kept().await, [1, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    assert_eq!(stage.dropped().await, 0);
    member.done(&all[0]).await.unwrap();
    stage.publish(1, MESSAGE).await.unwrap();
    assert_eq!(stage.dropped().await, 10);
}

#[tokio::test]
async fn a_paused_group_holds_its_messages_and_a_cancelled_one_does_not() {
    let stage = for_ten().await;
    stage.join("a").await;
    stage
        .backend
        .pause(&stage.topic, &group("a"))
        .await
        .unwrap();
    stage.publish(10, MESSAGE).await.unwrap();
    assert_eq!(kind(stage.publish(1, 0).await), ErrorKind::CapacityExceeded);
    stage
        .backend
        .cancel(&stage.topic, &group("a"))
        .await
        .unwrap();
    stage.publish(10, MESSAGE).await.unwrap();
    assert_eq!(
        stage.dropped().await,
        10,
        "messages without any group may go as well"
    );
    stage.publish(10, MESSAGE).await.unwrap();
    assert_eq!(stage.dropped().await, 20);
}

#[tokio::test]
async fn the_oldest_of_all_topics_goes_first() {
    let stage = for_ten().await;
    let other = topic("quiet");
    stage
        .backend
        .create_topic(&other, TopicConfig::default())
        .await
        .unwrap();
    stage.publish(4, MESSAGE).await.unwrap();
    stage.clock.advance(std::time::Duration::from_secs(1));
    stage
        .backend
        .publish(&other, batch(6, MESSAGE))
        .await
        .unwrap();
    stage.clock.advance(std::time::Duration::from_secs(1));
    stage.publish(5, MESSAGE).await.unwrap();
    assert_eq!(stage.kept().await, (5..=9).collect::<Vec<_>>());
    assert_eq!(stage.backend.topic(&other).await.unwrap().dropped_id.0, 1);
}

#[tokio::test]
async fn an_open_transaction_has_its_room_until_it_ends() {
    let stage = for_ten().await;
    stage.join("a").await;
    let mut open = stage.backend.begin().await.unwrap();
    stage
        .backend
        .publish_in(open.tx(), &stage.topic, batch(6, MESSAGE))
        .await
        .unwrap();
    assert_eq!(
        kind(stage.publish(5, MESSAGE).await),
        ErrorKind::CapacityExceeded
    );
    stage.publish(4, MESSAGE).await.unwrap();
    drop(open);
    stage.publish(6, MESSAGE).await.unwrap();
    assert_eq!(stage.pending("a").await.len(), 10);
}

#[tokio::test]
async fn the_dropped_id_stays_below_messages_that_may_yet_commit() {
    let stage = for_ten().await;
    let mut open = stage.backend.begin().await.unwrap();
    stage.publish(2, MESSAGE).await.unwrap();
    let late = stage
        .backend
        .publish_in(open.tx(), &stage.topic, batch(1, MESSAGE))
        .await
        .unwrap();
    stage.publish(7, MESSAGE).await.unwrap();
    stage.publish(9, MESSAGE).await.unwrap();
    assert_eq!((late[0].0, stage.dropped().await), (3, 2));
    let member = stage.join("a").await;
    open.commit().await.unwrap();
    assert_eq!(ids(&take(&member, 10).await), [3]);
    stage.publish(9, MESSAGE).await.unwrap();
    assert_eq!(stage.dropped().await, 2, "the late message is owed");
}

#[tokio::test]
async fn deleting_a_topic_gives_its_room_back() {
    let stage = for_ten().await;
    stage.join("a").await;
    stage.publish(10, MESSAGE).await.unwrap();
    stage
        .backend
        .delete_topic(&stage.topic, DeleteTopic::Forced)
        .await
        .unwrap();
    let other = topic("other");
    stage
        .backend
        .create_topic(&other, TopicConfig::queue())
        .await
        .unwrap();
    stage
        .backend
        .publish(&other, batch(10, MESSAGE))
        .await
        .unwrap();
    let full = stage
        .backend
        .publish_one(&other, NewMessage::default())
        .await;
    assert_eq!(kind(full), ErrorKind::CapacityExceeded);
}

#[tokio::test]
async fn dead_letters_count_and_settlements_are_never_refused() {
    let stage = for_ten().await;
    let options = SubscriptionOptions {
        max_attempts: 1,
        ..SubscriptionOptions::default()
    };
    let member = stage.join_with("a", options).await;
    stage.publish(10, MESSAGE).await.unwrap();
    for delivery in take(&member, 10).await {
        member.fail(&delivery, "").await.unwrap();
    }
    let error = stage.publish(1, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    assert!(error.message().contains("dead_letters=`10000`"), "{error}");
    let letters = stage
        .backend
        .dead_letters(&stage.topic, None, 100)
        .await
        .unwrap();
    assert_eq!(letters.len(), 10);
}

#[tokio::test]
async fn keys_headers_and_empty_messages_count() {
    let stage = for_ten().await;
    stage.join("a").await;
    let message = NewMessage::new(vec![0; 500])
        .key("k".repeat(120))
        .header("h".repeat(60), "v".repeat(62));
    let full = vec![message; 10];
    stage.backend.publish(&stage.topic, full).await.unwrap();
    assert_eq!(kind(stage.publish(1, 0).await), ErrorKind::CapacityExceeded);
}

#[tokio::test]
async fn a_refused_publish_leaves_its_transaction_usable() {
    let stage = for_ten().await;
    let member = stage.join("a").await;
    let topic = &stage.topic;
    let backend = &stage.backend;
    backend
        .with_tx(async |tx| {
            backend.publish_in(tx, topic, batch(1, MESSAGE)).await?;
            let full = backend.publish_in(tx, topic, batch(10, MESSAGE)).await;
            assert_eq!(kind(full), ErrorKind::CapacityExceeded);
            Ok::<_, fanout_core::Error>(())
        })
        .await
        .unwrap();
    assert_eq!(ids(&take(&member, 10).await), [1]);
}
