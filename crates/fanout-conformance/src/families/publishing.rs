//! Publishing in a transaction of the engine's own.

use std::time::Duration;

use fanout_core::{BackendExt, ErrorKind, MAX_KEY_BYTES, MAX_PAYLOAD_BYTES, MessageId, NewMessage};
use serde_json::json;

use crate::stage::{Scene, ids, messages, refused, same_ids, together, topic_name};

pub(crate) async fn ids_increase(s: &Scene) {
    let topic = s.topic("orders").await;
    topic.group("billing").await;
    let mut all = Vec::new();
    for size in [1, 5, 1, 100] {
        all.extend(topic.publish(size).await);
    }
    assert_eq!(all[0], MessageId(1), "ids start at 1");
    assert!(
        all.is_sorted_by(|a, b| a < b),
        "ids increase in a batch and from one publish to the next: {all:?}"
    );
}

pub(crate) async fn ids_follow_the_order_of_the_batch(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let batch: Vec<_> = (0..50).map(|i| NewMessage::new(format!("{i}"))).collect();
    let sent = topic.publish_all(batch).await;
    for delivery in group.drain().await {
        let place = sent.iter().position(|id| *id == delivery.message.id);
        let place = place.expect("only published messages are delivered");
        assert_eq!(
            delivery.message.payload,
            place.to_string(),
            "the n-th id is that of the n-th message of the batch"
        );
    }
}

pub(crate) async fn every_topic_has_ids_of_its_own(s: &Scene) {
    let (orders, returns) = (s.topic("orders").await, s.topic("returns").await);
    let first = orders.publish(3).await;
    let second = returns.publish(3).await;
    assert_eq!(
        first, second,
        "publishing to one topic moves no other's ids"
    );
}

pub(crate) async fn an_empty_batch_is_refused(s: &Scene) {
    let topic = s.topic("orders").await;
    refused(
        topic.try_publish(vec![]).await,
        &[ErrorKind::InvalidInput],
        "an empty batch is an error of the caller",
    );
}

pub(crate) async fn a_bad_message_fails_its_whole_batch(s: &Scene) {
    use ErrorKind::{InvalidInput, TooLarge};
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let good = || NewMessage::new("good");
    let nested = json!([{ "deep": ["a\0b"] }]);
    let bad = [
        (NewMessage::new(vec![0; MAX_PAYLOAD_BYTES + 1]), TooLarge),
        (good().key("k".repeat(MAX_KEY_BYTES + 1)), TooLarge),
        (good().key("a\0b"), InvalidInput),
        (good().header("h", "a\0b"), InvalidInput),
        (good().header("a\0b", 1), InvalidInput),
        (good().header("h", nested), InvalidInput),
    ];
    for (message, kind) in bad {
        let published = topic.try_publish(vec![good(), message, good()]).await;
        refused(
            published,
            &[kind],
            "a message that cannot be kept is refused",
        );
    }
    assert!(
        group.pending().await.is_empty() && group.drain().await.is_empty(),
        "all of a batch is stored, or none of it"
    );
    let sent = topic.publish(2).await;
    same_ids(
        ids(&group.drain().await),
        sent,
        "publishing goes on after refused batches",
    );
}

pub(crate) async fn a_batch_is_checked_before_its_topic(s: &Scene) {
    let published = s.backend.publish(&topic_name("orders"), vec![]).await;
    refused(
        published,
        &[ErrorKind::InvalidInput],
        "a batch that is wrong in itself is refused as such, wherever it goes",
    );
}

pub(crate) async fn messages_arrive_as_they_were_published(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let sent = vec![
        NewMessage::default(),
        NewMessage::new("text").key("größe 注文 🦀 '\"\\"),
        NewMessage::new("").key(""),
        NewMessage::new(every_byte).key("k".repeat(MAX_KEY_BYTES)),
        NewMessage::new("\\x00 \\ \n")
            .header("text", "größe 注文 🦀 \u{1} '\"\\ \n")
            .header("", "empty name")
            .header(
                "numbers",
                json!([0, -1, i64::MIN, i64::MAX, u64::MAX, 1.5, -0.25]),
            )
            .header("others", json!([null, true, false, "", [], {}]))
            .header(
                "nested",
                json!({ "a": { "b": [{ "c": [[1], [2, { "d": null }]] }] } }),
            ),
    ];
    s.advance(Duration::from_micros(1_000_001));
    let published_at = s.now();
    let numbers = topic.publish_all(sent.clone()).await;
    s.advance(Duration::from_secs(5));
    let drained = group.drain().await;
    same_ids(
        ids(&drained),
        numbers.clone(),
        "all of a batch is delivered",
    );
    for delivery in drained {
        let message = delivery.message;
        let place = numbers.iter().position(|id| *id == message.id);
        let original = &sent[place.expect("the ids were just compared")];
        assert_eq!(&message.topic, topic.name(), "a message knows its topic");
        assert_eq!(message.key, original.key, "keys are kept");
        assert_eq!(message.headers, original.headers, "headers are kept");
        assert_eq!(message.payload, original.payload, "payloads are kept");
        assert_eq!(
            message.created_at, published_at,
            "a message is dated when it is written, by the engine's clock"
        );
        assert_eq!(delivery.attempt, 1, "the first delivery is attempt 1");
    }
}

pub(crate) async fn large_payloads_arrive(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let payload: Vec<u8> = (0..2 << 20).map(|i: u32| (i % 251) as u8).collect();
    let batch = vec![
        NewMessage::new(payload.clone()),
        NewMessage::new("small"),
        NewMessage::new(payload.clone()),
    ];
    let sent = topic.publish_all(batch).await;
    let drained = group.drain().await;
    same_ids(ids(&drained), sent.clone(), "large messages are delivered");
    for delivery in drained {
        let large = delivery.message.id != sent[1];
        let expected: &[u8] = if large { &payload } else { b"small" };
        assert!(
            delivery.message.payload == expected,
            "large payloads are kept to the byte"
        );
    }
}

pub(crate) async fn large_batches_arrive(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let sent = topic.publish(5_000).await;
    same_ids(
        ids(&group.drain().await),
        sent,
        "every message of a large batch is delivered once",
    );
}

pub(crate) async fn concurrent_publishers_share_no_id(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let batches = together(8, |_| {
        let topic = topic.clone();
        async move {
            let mut batches = Vec::new();
            for size in 1..=10 {
                batches.push(topic.publish(size).await);
            }
            batches
        }
    })
    .await;
    for batch in batches.iter().flatten() {
        assert!(
            batch.is_sorted_by(|a, b| a < b),
            "ids increase within a batch, whoever else publishes: {batch:?}"
        );
    }
    same_ids(
        ids(&group.drain().await),
        batches.into_iter().flatten().flatten(),
        "ids are unique, and what concurrent publishers sent is delivered once",
    );
}

pub(crate) async fn one_message_is_published_by_the_short_form(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let message = messages(1).remove(0);
    let id = s.backend.publish_one(topic.name(), message).await;
    let id = id.expect("one good message is published");
    same_ids(ids(&group.drain().await), [id], "it is delivered");
}
