//! K1: groups that settle the same messages rarely meet on a completion record.

use std::sync::Arc;

use fanout_core::{
    Backend, BackendExt, GroupName, Member, MemberExt, NewMessage, TopicConfig, TopicName,
};
use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::TestDatabase;
use fanout_tests::size::full;
use tokio::task::JoinSet;

use crate::support::report;

const GROUPS: usize = 16;
const BATCH: usize = 50;
const ROUNDS: usize = 3;

/// Settles until `owed` settlements took effect.
async fn consume(member: Arc<dyn Member>, owed: usize) {
    let mut settled = 0;
    while settled < owed {
        let deliveries = member
            .fetch(BATCH)
            .await
            .expect("a fetch succeeds")
            .deliveries;
        if deliveries.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        settled += member
            .done_all(&deliveries)
            .await
            .expect("a settlement succeeds");
    }
}

/// Publishes messages while all groups settle them; returns how many records they tried to lock, and how many
/// of them another had locked.
async fn round(
    backend: &PostgresBackend,
    topic: &TopicName,
    members: &[Arc<dyn Member>],
    messages: usize,
) -> (u64, u64) {
    let counted = || {
        let counters = members.iter().map(|member| member.counters());
        counters.fold((0, 0), |(attempts, conflicts), c| {
            (
                attempts + c.completion_attempts,
                conflicts + c.completion_conflicts,
            )
        })
    };
    let before = counted();
    let mut tasks = JoinSet::new();
    for member in members.iter().cloned() {
        tasks.spawn(consume(member, messages));
    }
    let (publisher, to) = (backend.clone(), topic.clone());
    tasks.spawn(async move {
        for _ in 0..messages / BATCH {
            let batch = vec![NewMessage::new("payload"); BATCH];
            publisher
                .publish(&to, batch)
                .await
                .expect("a publish succeeds");
        }
    });
    while let Some(done) = tasks.join_next().await {
        done.expect("no task panics");
    }
    let after = counted();
    (after.0 - before.0, after.1 - before.1)
}

/// Of several rounds the one in the middle: a group that is stopped by the machine while it has records makes
/// all others meet it. Rounds are not short, because all groups begin in step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_conflicts_on_completion_records_stay_below_a_tenth_at_16_groups() {
    let messages = if full() { 20_000 } else { 6_000 };
    let database = TestDatabase::empty().await.expect("a database can be made");
    Migrator::new(database.url()).up().await.expect("migrates");
    let backend = PostgresBackend::builder(database.url())
        .pool_size(GROUPS + 2)
        .connect()
        .await
        .expect("opens");
    let topic = TopicName::new("k1").expect("a valid name");
    backend
        .create_topic(&topic, TopicConfig::default())
        .await
        .expect("creates");
    let mut members = Vec::new();
    for n in 0..GROUPS {
        let group = GroupName::new(format!("group {n}")).expect("a valid name");
        backend
            .subscribe_from_now(&topic, &group)
            .await
            .expect("subscribes");
        members.push(backend.join_group(&topic, &group).await.expect("joins"));
    }

    let mut conflicts = Vec::new();
    for _ in 0..ROUNDS {
        let (attempts, met) = round(&backend, &topic, &members, messages).await;
        assert_eq!(
            attempts,
            (GROUPS * messages) as u64,
            "every record was attempted once by each group"
        );
        conflicts.push(met);
    }
    conflicts.sort_unstable();
    let attempts = (GROUPS * messages) as u64;
    report(&format!(
        "conflicts {conflicts:?}, each of {attempts} records"
    ));
    assert!(
        conflicts[ROUNDS / 2] * 10 < attempts,
        "{conflicts:?} conflicts, each of {attempts} records"
    );
    assert!(
        backend
            .stats(&topic)
            .await
            .expect("reads")
            .iter()
            .all(|group| group.pending == 0)
    );
}
