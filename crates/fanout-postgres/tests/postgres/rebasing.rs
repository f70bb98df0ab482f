//! Databases that were restored from a dump into another cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, Delivery, ErrorKind, ManualClock, Member, MemberExt, NewMessage, OpenTx,
    StartPosition, Subscribe, TopicName, Transactional,
};
use fanout_postgres::diesel_async::AsyncPgConnection;
use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::{Cluster, Profile};

use crate::support::{MODES, connect, drain, group, in_mode, per_key, take, topic, value};

/// Members and what they hold.
const OWNERS: &str = "SELECT (SELECT count(*) FROM fanout.outbox_group_members)
    + (SELECT count(*) FROM fanout.outbox_lane_leases WHERE owner IS NOT NULL OR expires_at IS NOT NULL)";
/// Rises when all epochs do, and only then.
const EPOCHS: &str = "SELECT min(epoch) FROM fanout.outbox_subscription_offsets";

/// A topic and what its groups owe, as the test itself counts it.
#[derive(Clone)]
struct World {
    backend: PostgresBackend,
    topic: TopicName,
    drawn: usize,
    committed: BTreeSet<String>,
    owed: BTreeMap<String, BTreeSet<String>>,
    /// What took long to commit, and so has no place in the order of the others.
    late: BTreeSet<String>,
    /// What has failed once, for a group.
    failed: BTreeSet<(String, String)>,
}

/// A message that is not committed yet.
struct Open {
    transaction: Box<dyn OpenTx<Tx = AsyncPgConnection>>,
    payload: String,
}

impl World {
    /// The next message: of one of 5 keys, within which payloads ascend.
    fn message(&mut self) -> NewMessage {
        self.drawn += 1;
        let key = format!("key {}", self.drawn % 5);
        NewMessage::new(format!("{key}: {:04}", self.drawn)).key(key)
    }

    fn committed(&mut self, payload: &str) {
        self.committed.insert(payload.to_owned());
        for owed in self.owed.values_mut() {
            owed.insert(payload.to_owned());
        }
    }

    async fn publish(&mut self, count: usize) {
        for _ in 0..count {
            let message = self.message();
            self.committed(&text(&message.payload));
            self.backend
                .publish_one(&self.topic, message)
                .await
                .unwrap();
        }
    }

    /// As services in other languages publish, which know nothing of clusters.
    async fn publish_by_function(&mut self, url: &str) {
        let message = self.message();
        let payload = text(&message.payload);
        let statement = "SELECT fanout.publish($1, ARRAY[$2::bytea], ARRAY[$3::text])";
        let client = connect(url).await;
        let key = message.key.as_deref();
        client
            .execute(
                statement,
                &[&self.topic.as_str(), &payload.as_bytes(), &key],
            )
            .await
            .unwrap();
        self.committed(&payload);
    }

    async fn open(&mut self) -> Open {
        let mut transaction = self.backend.begin().await.unwrap();
        let message = self.message();
        let payload = text(&message.payload);
        self.backend
            .publish_in(transaction.tx(), &self.topic, vec![message])
            .await
            .unwrap();
        Open {
            transaction,
            payload,
        }
    }

    async fn commit(&mut self, open: Open) {
        open.transaction.commit().await.unwrap();
        self.late.insert(open.payload.clone());
        self.committed(&open.payload);
    }

    async fn subscribe(&mut self, name: &str, how: Subscribe) {
        let owed = match how.start {
            StartPosition::FromBeginning => self.committed.clone(),
            _ => BTreeSet::new(),
        };
        self.backend
            .subscribe(&self.topic, &group(name), how)
            .await
            .unwrap();
        self.owed.insert(name.to_owned(), owed);
    }

    async fn join(&self, name: &str) -> Arc<dyn Member> {
        self.backend
            .join_group(&self.topic, &group(name))
            .await
            .unwrap()
    }

    fn owes(&self, name: &str) -> usize {
        self.owed[name].len()
    }

    fn settled<'a>(&mut self, name: &str, deliveries: impl IntoIterator<Item = &'a Delivery>) {
        let owed = self.owed.get_mut(name).unwrap();
        for delivery in deliveries {
            let payload = text(&delivery.message.payload);
            assert!(
                owed.remove(&payload),
                "{name} got what it is not owed: {payload}"
            );
        }
    }

    /// Takes a tick.
    async fn tick(&self, url: &str) {
        let id = self.backend.topic(&self.topic).await.unwrap().id;
        let taken = format!("SELECT taken FROM fanout.tick_{id}(true, '0')");
        assert!(value::<bool>(&connect(url).await, &taken).await);
    }

    /// Deliveries count the failures of before, and the others of a key come in order.
    fn check(&self, name: &str, drained: &[Delivery]) {
        let mut last = BTreeMap::new();
        for delivery in drained {
            let payload = text(&delivery.message.payload);
            let failed = self.failed.contains(&(name.to_owned(), payload.clone()));
            assert_eq!(delivery.attempt, 1 + u32::from(failed), "{name}: {payload}");
            if name.contains("in order") && !failed && !self.late.contains(&payload) {
                let key = delivery.message.key.clone();
                let before = last.insert(key, payload.clone());
                assert!(
                    before.as_ref() < Some(&payload),
                    "{name}: {before:?}, {payload}"
                );
            }
        }
    }

    /// Settles all that each group owes, and compares it with what the test has counted.
    async fn drain(&mut self) {
        let names: Vec<_> = self.owed.keys().cloned().collect();
        for name in names {
            let drained = drain(&self.backend, &self.topic, &group(&name)).await;
            self.settled(&name, &drained);
            self.check(&name, &drained);
            assert!(
                self.owed[&name].is_empty(),
                "{name}: {:?}",
                self.owed[&name]
            );
        }
    }
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

/// Groups in all states that a cursor, a tracking row and a subscription can be in. Each group's name
/// ends in `round`.
async fn history(world: &mut World, url: &str, round: usize) {
    let from_beginning = |how: Subscribe| Subscribe {
        start: StartPosition::FromBeginning,
        ..how
    };
    let named = |name: &str| format!("{name} {round}");
    for name in ["half", "parked", "done", "callers", "paused"] {
        world.subscribe(&named(name), Subscribe::default()).await;
        world
            .subscribe(&named(&format!("{name}, in order")), per_key())
            .await;
    }
    world.publish(20).await;
    world.tick(url).await;
    // Publishers that ticks list as in progress: one that commits between ticks, one after the
    // last, one that is still open when the dump is made.
    let (first, second, third) = (world.open().await, world.open().await, world.open().await);
    world.publish(8).await;
    world.tick(url).await;
    world.commit(first).await;
    world.publish(8).await;
    world.tick(url).await;
    for order in ["", ", in order"] {
        // In the middle of a span, every second message settled ahead.
        let name = named(&format!("half{order}"));
        let member = world.join(&name).await;
        let deliveries = take(&*member, world.owes(&name).min(30)).await;
        let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for delivery in deliveries {
            let key = delivery.message.key.clone();
            by_key.entry(key).or_default().push(delivery);
        }
        // In order nothing can be settled ahead within a key.
        for (n, deliveries) in by_key.into_values().enumerate() {
            let some = &deliveries[..(n + 1).min(deliveries.len())];
            member.done_all(some).await.unwrap();
            world.settled(&name, some);
        }
        drop(member);

        let name = named(&format!("parked{order}"));
        let member = world.join(&name).await;
        let deliveries = take(&*member, world.owes(&name)).await;
        for (n, delivery) in deliveries.iter().enumerate() {
            if n % 3 == 0 {
                member.fail(delivery, "no").await.unwrap();
                let payload = text(&delivery.message.payload);
                world.failed.insert((name.clone(), payload));
            } else {
                member.done(delivery).await.unwrap();
                world.settled(&name, [delivery]);
            }
        }
        drop(member);

        let name = named(&format!("done{order}"));
        let member = world.join(&name).await;
        let deliveries = take(&*member, world.owes(&name)).await;
        member.done_all(&deliveries).await.unwrap();
        world.settled(&name, &deliveries);
        drop(member);

        let name = named(&format!("callers{order}"));
        let member = world.join(&name).await;
        let deliveries = take(&*member, world.owes(&name)).await;
        let mut tx = world.backend.begin().await.unwrap();
        let mut keys = BTreeSet::new();
        let settled: Vec<_> = deliveries
            .iter()
            .filter(|delivery| keys.insert(&delivery.message.key))
            .collect();
        let receipts: Vec<_> = settled.iter().map(|d| d.receipt).collect();
        world.backend.settle_in(tx.tx(), &receipts).await.unwrap();
        tx.commit().await.unwrap();
        world.settled(&name, settled);
        drop(member);

        let name = named(&format!("paused{order}"));
        world
            .backend
            .pause(&world.topic, &group(&name))
            .await
            .unwrap();
    }
    // These wait for publishers that were open when they subscribed.
    world.subscribe(&named("late"), Subscribe::default()).await;
    world.subscribe(&named("late, in order"), per_key()).await;
    world
        .subscribe(&named("all"), from_beginning(Subscribe::default()))
        .await;
    world
        .subscribe(&named("all, in order"), from_beginning(per_key()))
        .await;
    world.publish(4).await;
    world.commit(second).await;
    // Seen by no tick.
    world.publish(4).await;
    third.transaction.rollback().await.unwrap();
}

/// Uses transaction ids up.
async fn burn(url: &str, count: usize) {
    let burn = format!(
        "DO $$ BEGIN FOR i IN 1..{count} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
    );
    connect(url).await.batch_execute(&burn).await.unwrap();
}

fn dump(cluster: &Cluster, database: &str) -> Vec<u8> {
    let output = Command::new(cluster.bin_dir().join("pg_dump"))
        .args(["--dbname", &cluster.url(database)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output.stdout
}

fn restore(cluster: &Cluster, database: &str, dump: &[u8]) {
    cluster.create_database(database).unwrap();
    restore_with(cluster.bin_dir(), &cluster.url(database), dump);
}

fn restore_with(bin: &Path, url: &str, dump: &[u8]) {
    let mut psql = Command::new(bin.join("psql"))
        .args([
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--dbname",
            url,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = psql.stdin.take().unwrap();
    // If it leaves early, its status and what it said tell why.
    let _ = stdin.write_all(dump);
    drop(stdin);
    let output = psql.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

async fn at(url: &str, clock: &Arc<ManualClock>) -> fanout_core::Result<PostgresBackend> {
    let builder = PostgresBackend::builder(url).clock(clock.clone());
    builder.connect().await
}

/// Resumes who is paused, lets leases and delays pass, and drains.
async fn finish(worlds: &mut [World], clock: &ManualClock) {
    clock.advance(Duration::from_secs(3600));
    for world in worlds {
        for name in world.owed.keys().filter(|name| name.starts_with("paused")) {
            world
                .backend
                .resume(&world.topic, &group(name))
                .await
                .unwrap();
        }
        world.backend.maintain().await.unwrap();
        world.drain().await;
        world.publish(3).await;
        world.drain().await;
        for stats in world.backend.stats(&world.topic).await.unwrap() {
            assert_eq!(stats.pending, 0, "{}", stats.group);
        }
        // Twice: the first may still have found what was in hand.
        for _ in 0..2 {
            world.backend.maintain().await.unwrap();
        }
        let watermark = world.backend.watermark(&world.topic).await.unwrap();
        assert_eq!(watermark.id, watermark.decided, "all is settled");
        assert!(watermark.id.0 >= i64::try_from(world.drawn).unwrap());
    }
}

/// A database with a topic in each mode.
async fn create(cluster: &Cluster, clock: &Arc<ManualClock>) -> Vec<World> {
    cluster.create_database("app").unwrap();
    let url = cluster.url("app");
    Migrator::new(&url).up().await.unwrap();
    let backend = at(&url, clock).await.unwrap();
    let mut worlds = Vec::new();
    for mode in MODES {
        let topic = topic(&format!("in {mode}"));
        backend.create_topic(&topic, in_mode(mode)).await.unwrap();
        worlds.push(World {
            backend: backend.clone(),
            topic,
            drawn: 0,
            committed: BTreeSet::new(),
            owed: BTreeMap::new(),
            late: BTreeSet::new(),
            failed: BTreeSet::new(),
        });
    }
    worlds
}

fn moved(worlds: &[World], backend: &PostgresBackend) -> Vec<World> {
    let moved = worlds.iter().cloned().map(|world| World {
        backend: backend.clone(),
        ..world
    });
    moved.collect()
}

#[tokio::test]
async fn a_restored_database_is_refused_until_it_is_rebased_and_then_owes_what_it_did() {
    let clock = Arc::new(ManualClock::default());
    let [first, second, third] = [(); 3].map(|()| Cluster::start(Profile::Fast).unwrap());
    let url = first.url("app");
    let mut worlds = create(&first, &clock).await;
    assert_eq!(
        Migrator::new(&url).rebase().await.unwrap(),
        0,
        "nothing is wrong"
    );
    burn(&url, 20_000).await;
    for world in &mut worlds {
        history(world, &url, 1).await;
    }
    let dumped = dump(&first, "app");

    // Into a cluster that has not come as far: once for both topics, and again from there.
    let mut dump_of = (dumped.clone(), worlds.clone());
    for (round, (cluster, is_last)) in [(&second, false), (&third, true)].into_iter().enumerate() {
        restore(cluster, "app", &dump_of.0);
        let url = cluster.url("app");
        let mut worlds = dump_of.1;
        let refused = at(&url, &clock).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NeedsRebase, "{refused}");
        for world in &mut worlds {
            world.publish_by_function(&url).await;
        }
        let migrator = Migrator::new(&url);
        let client = connect(&url).await;
        assert!(value::<i64>(&client, OWNERS).await > 0);
        let epochs = value::<i64>(&client, EPOCHS).await;
        assert!(migrator.rebase().await.unwrap() > 0);
        assert_eq!(value::<i64>(&client, OWNERS).await, 0, "lanes are free");
        assert!(
            value::<i64>(&client, EPOCHS).await > epochs,
            "former owners are fenced"
        );
        assert_eq!(migrator.rebase().await.unwrap(), 0, "once is enough");
        let backend = at(&url, &clock).await.unwrap();
        let mut worlds = moved(&worlds, &backend);
        if is_last {
            finish(&mut worlds, &clock).await;
            break;
        }
        burn(&url, 10_000).await;
        clock.advance(Duration::from_secs(3600));
        for world in &mut worlds {
            history(world, &url, round + 2).await;
        }
        dump_of = (dump(cluster, "app"), worlds.clone());
        finish(&mut worlds, &clock).await;
        backend.close();
    }

    // Into one that has come further: whatever was dumped lies in its past.
    burn(&second.url("app"), 20_000).await;
    restore(&second, "ahead", &dumped);
    let url = second.url("ahead");
    let backend = at(&url, &clock).await.unwrap();
    assert_eq!(Migrator::new(&url).rebase().await.unwrap(), 0);
    finish(&mut moved(&worlds, &backend), &clock).await;
}

/// Services in other languages may publish before anybody notices; by then the cluster may have come as
/// far as the dump's, and nothing lies in its future any more.
#[tokio::test]
async fn what_was_published_before_the_repair_is_found_also_when_the_cluster_has_caught_up() {
    let clock = Arc::new(ManualClock::default());
    let [first, second] = [(); 2].map(|()| Cluster::start(Profile::Fast).unwrap());
    let url = first.url("app");
    let mut worlds = create(&first, &clock).await;
    burn(&url, 5_000).await;
    for world in &mut worlds {
        world.subscribe("unordered", Subscribe::default()).await;
        world.subscribe("ordered", per_key()).await;
        world.publish(3).await;
        world.tick(&url).await;
    }
    let dumped = dump(&first, "app");

    restore(&second, "app", &dumped);
    let url = second.url("app");
    let client = connect(&url).await;
    for (n, world) in worlds.iter_mut().enumerate() {
        world.publish_by_function(&url).await;
        // One that is open while the cluster catches up.
        client.batch_execute("BEGIN").await.unwrap();
        let message = world.message();
        let payload = text(&message.payload);
        let publish = format!(
            "SELECT fanout.publish('{}', ARRAY['{payload}'::bytea])",
            world.topic
        );
        client.batch_execute(&publish).await.unwrap();
        let prepare = format!("PREPARE TRANSACTION 'p{n}'");
        client.batch_execute(&prepare).await.unwrap();
        world.committed(&payload);
        world.late.insert(payload);
    }
    burn(&url, 10_000).await;
    let refused = at(&url, &clock).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NeedsRebase, "{refused}");
    for n in 0..worlds.len() {
        let commit = format!("COMMIT PREPARED 'p{n}'");
        client.batch_execute(&commit).await.unwrap();
    }
    let refused = at(&url, &clock).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NeedsRebase, "{refused}");
    assert!(Migrator::new(&url).rebase().await.unwrap() > 0);
    let backend = at(&url, &clock).await.unwrap();
    finish(&mut moved(&worlds, &backend), &clock).await;
}
