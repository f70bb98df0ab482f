//! What is shown of the engine's things. Durations and times are as options take them.

use fanout::{
    DeadLetter, Delivery, GroupStats, Message, Subscription, Topic, TopicName, Watermark,
};
use serde_json::Value;

use crate::base64;
use crate::duration::format as duration;
use crate::input::position_text;
use crate::record::Record;

pub(crate) fn topic(topic: &Topic) -> Record {
    let config = &topic.config;
    Record::new()
        .with("name", topic.name.as_str())
        .with("id", topic.id.get())
        .with("semantics", config.semantics.as_str())
        .with("completion_mode", config.completion_mode.as_str())
        .with("lanes", config.lanes)
        .with("message_retention", duration(config.message_retention))
        .with(
            "zero_subscription_retention",
            duration(config.zero_subscription_retention),
        )
        .with(
            "block_writes_on_zero_subscriptions",
            config.block_writes_on_zero_subscriptions,
        )
        .with("max_retention", duration(config.max_retention))
        .with("partition_interval", duration(config.partition_interval))
        .with("audit", config.audit)
        .with("dropped_id", topic.dropped_id.get())
        .with("created_at", topic.created_at.to_string())
}

pub(crate) fn watermark(topic: &TopicName, watermark: &Watermark) -> Record {
    let (id, decided) = (watermark.id.get(), watermark.decided.get());
    Record::new()
        .with("topic", topic.as_str())
        .with("watermark", id)
        .with("decided", decided)
        .with("lag", decided - id)
        .with("updated_at", watermark.updated_at.to_string())
}

pub(crate) fn subscription(subscription: &Subscription) -> Record {
    let options = &subscription.options;
    Record::new()
        .with("topic", subscription.topic.as_str())
        .with("group", subscription.group.as_str())
        .with("status", subscription.status.as_str())
        .with("id", subscription.id.get())
        .with("group_index", subscription.group_index.get())
        .with("start", position_text(subscription.start))
        .with("ordering", options.ordering.as_str())
        .with("on_failure", options.on_failure.as_str())
        .with("lease", duration(options.lease))
        .with("max_attempts", options.max_attempts)
        .with("max_stalls", options.max_stalls)
        .with("backoff_initial", duration(options.backoff.initial))
        .with("backoff_max", duration(options.backoff.max))
        .with("backoff_multiplier", options.backoff.multiplier)
        .with("backoff_jitter", options.backoff.jitter)
        .with("heartbeat_interval", duration(options.heartbeat_interval))
        .with("heartbeat_timeout", duration(options.heartbeat_timeout))
        .with("subscribed_at", subscription.subscribed_at.to_string())
        .with(
            "status_changed_at",
            subscription.status_changed_at.to_string(),
        )
        .with(
            "last_heartbeat_at",
            subscription.last_heartbeat_at.to_string(),
        )
}

pub(crate) fn stats(stats: &GroupStats) -> Record {
    Record::new()
        .with("group", stats.group.as_str())
        .with("status", stats.status.as_str())
        .with("pending", stats.pending)
        .with("in_flight", stats.in_flight)
        .with("delayed", stats.delayed)
        .with("dead_letters", stats.dead_letters)
        .with("lag", duration(stats.lag()))
        .with(
            "lowest_unsettled",
            stats.lowest_unsettled.map(fanout::MessageId::get),
        )
        .with_text("oldest_pending_at", stats.oldest_pending_at)
        .with("read_at", stats.read_at.to_string())
}

pub(crate) fn delivery(delivery: &Delivery) -> Record {
    message(&delivery.message)
        .with("attempt", delivery.attempt)
        .with("until", delivery.until.to_string())
}

pub(crate) fn dead_letter(letter: &DeadLetter) -> Record {
    message(&letter.message)
        .with("group", letter.group.as_str())
        .with("attempts", letter.attempts)
        .with("reason", letter.reason.as_str())
        .with("last_error", letter.last_error.as_deref())
        .with("dead_at", letter.dead_at.to_string())
}

fn message(message: &Message) -> Record {
    let (payload, encoding) = payload(&message.payload);
    Record::new()
        .with("topic", message.topic.as_str())
        .with("id", message.id.get())
        .with("key", message.key.as_deref())
        .with("headers", Value::Object(message.headers.0.clone()))
        .with("payload", payload)
        .with("encoding", encoding)
        .with("created_at", message.created_at.to_string())
}

/// A payload as text, and how it is encoded: `utf-8` as it is, or `base64` when it is no text.
pub(crate) fn payload(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (base64::encode(bytes), "base64"),
    }
}
