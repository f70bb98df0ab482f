//! K1: groups that settle the same messages rarely meet on a completion record.

use std::sync::Arc;

use fanout_core::{
    Backend, BackendExt, GroupName, Member, MemberExt, NewMessage, TopicConfig, TopicName,
};
use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::TestDatabase;
use fanout_tests::size::full;
use tokio::task::JoinSet;

const GROUPS: usize = 16;
const BATCH: usize = 50;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_conflicts_on_completion_records_stay_below_a_tenth_at_16_groups() {
    let messages = if full() { 20_000 } else { 3_000 };
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

    let mut tasks = JoinSet::new();
    for member in members.clone() {
        tasks.spawn(consume(member, messages));
    }
    let publisher = backend.clone();
    let to = topic.clone();
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

    let counters: Vec<_> = members.iter().map(|member| member.counters()).collect();
    let attempts: u64 = counters.iter().map(|c| c.completion_attempts).sum();
    let conflicts: u64 = counters.iter().map(|c| c.completion_conflicts).sum();
    println!("conflicts {conflicts} of {attempts} records");
    assert_eq!(
        attempts,
        (GROUPS * messages) as u64,
        "every record was attempted once by each group"
    );
    assert!(
        conflicts * 10 < attempts,
        "{conflicts} conflicts in {attempts} records"
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
