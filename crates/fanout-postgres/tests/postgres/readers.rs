//! Groups that read the log, and how much of it they read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, Backoff, CompletionMode, Member, MemberExt, MessageId, OnFailure,
    Ordering, SubscriptionOptions, Topic, TopicConfig, TopicId,
};
use fanout_postgres::PostgresBackend;
use tokio_postgres::Client;

use crate::support::{group, topic, value};

/// Nothing here takes so long, unless it hangs.
pub(crate) const HANG: Duration = Duration::from_secs(300);

/// Whether the full sizes are asked for.
pub(crate) fn full() -> bool {
    std::env::var("FANOUT_FULL").is_ok_and(|full| full == "1")
}

pub(crate) const MODES: [CompletionMode; 2] = [
    CompletionMode::ReferenceCounting,
    CompletionMode::OffsetWatermark,
];

pub(crate) async fn topic_in(backend: &PostgresBackend, name: &str, mode: CompletionMode) -> Topic {
    let config = TopicConfig {
        completion_mode: mode,
        ..TopicConfig::default()
    };
    backend
        .create_topic(&topic(name), config)
        .await
        .expect("creates")
}

/// Subscribes a group from now on; its failures are due again at once.
pub(crate) async fn subscribe(
    backend: &PostgresBackend,
    to: &str,
    name: &str,
    ordering: Ordering,
    on_failure: OnFailure,
) {
    let options = SubscriptionOptions {
        ordering,
        on_failure,
        backoff: Backoff {
            initial: Duration::ZERO,
            max: Duration::ZERO,
            ..Backoff::default()
        },
        ..SubscriptionOptions::default()
    };
    backend
        .subscribe(&topic(to), &group(name), options.into())
        .await
        .expect("subscribes");
}

pub(crate) async fn join(backend: &PostgresBackend, to: &str, name: &str) -> Arc<dyn Member> {
    backend
        .join_group(&topic(to), &group(name))
        .await
        .expect("joins")
}

/// Fetches and settles until this many messages were settled, each once; returns their ids.
pub(crate) async fn drain(
    member: &Arc<dyn Member>,
    batch: usize,
    messages: usize,
) -> BTreeSet<MessageId> {
    let mut seen = BTreeSet::new();
    let draining = async {
        while seen.len() < messages {
            let deliveries = member.fetch(batch).await.expect("fetches").deliveries;
            for delivery in &deliveries {
                let id = delivery.message.id;
                assert!(seen.insert(id), "{id} was delivered twice");
            }
            let settled = member.done_all(&deliveries).await.expect("settles");
            assert_eq!(settled, deliveries.len());
            if deliveries.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    };
    let drained = tokio::time::timeout(HANG, draining).await;
    assert!(drained.is_ok(), "{} of {messages} came", seen.len());
    seen
}

/// Fetches a few times more, and expects nothing.
pub(crate) async fn nothing_is_left(member: &Arc<dyn Member>) {
    for _ in 0..5 {
        assert_eq!(member.fetch(10).await.expect("fetches").deliveries, []);
    }
}

/// Publishes messages in one transaction by one statement, with keys `0` to `keys - 1` in turn.
pub(crate) async fn publish_bulk(client: &Client, to: &str, messages: usize, keys: usize) {
    let statement = format!(
        "SELECT fanout.publish('{to}', array_agg(convert_to('message ' || n, 'utf8')),
            array_agg((n % {keys})::text))
         FROM generate_series(1, {messages}) AS n"
    );
    client.batch_execute(&statement).await.expect("publishes");
}

/// How many rows of a topic's log the server has read for anybody. All other sessions of the database must
/// have been closed: it waits until they have ended, since then it has their statistics.
pub(crate) async fn log_rows_read(client: &Client, of: TopicId) -> i64 {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let ended = async {
        while value::<i64>(client, others).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, ended)
        .await
        .expect("all other sessions end");
    // This one's statistics arrive after the statement that asks for it.
    client
        .execute("SELECT pg_stat_force_next_flush()", &[])
        .await
        .expect("flushes");
    let read = format!(
        "SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0)::bigint FROM pg_stat_user_tables
         WHERE schemaname = 'fanout' AND relname ~ '^outbox_{of}_[0-9]+$'"
    );
    value::<i64>(client, &read).await
}

/// How many sessions of the database wait for locks.
pub(crate) const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Waits for a count to reach a number.
pub(crate) async fn until(client: &Client, count: &str, number: i64) {
    let reached = async {
        while value::<i64>(client, count).await < number {
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(HANG, reached).await;
    reached.unwrap_or_else(|_| panic!("{count}: {number} were expected"));
}

/// Maintains until there is nothing to do.
pub(crate) async fn maintain(backend: &PostgresBackend) {
    for _ in 0..20 {
        if backend.maintain().await.expect("maintains").is_idle() {
            return;
        }
    }
    panic!("maintenance finds no end");
}

/// Prints what a test counted.
#[allow(
    clippy::print_stdout,
    reason = "the figures are part of what the tests are for"
)]
pub(crate) fn report(figures: &str) {
    println!("{figures}");
}
