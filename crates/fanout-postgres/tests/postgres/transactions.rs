//! Publishers' transactions of every kind, on topics of both modes.

use std::sync::Arc;

use fanout_core::{
    Backend, CompletionMode, Delivery, Member, MemberExt, MessageId, OnFailure, Ordering,
    ReceiptForm,
};
use fanout_postgres::PostgresBackend;
use fanout_testpg::TestDatabase;
use tokio_postgres::Client;

use crate::readers::{MODES, join, maintain, nothing_is_left, subscribe, topic_in};
use crate::support::{connect, migrated, open, topic};

/// A topic `t` with a group of each ordering, and who reads them.
struct Scene {
    database: TestDatabase,
    backend: PostgresBackend,
    members: Vec<Arc<dyn Member>>,
    publisher: Client,
    mode: CompletionMode,
}

impl Scene {
    async fn new(mode: CompletionMode) -> Self {
        let database = migrated().await;
        let backend = open(&database).await;
        topic_in(&backend, "t", mode).await;
        let publisher = connect(database.url()).await;
        let mut scene = Self {
            database,
            backend,
            members: Vec::new(),
            publisher,
            mode,
        };
        scene.subscribe("unordered", Ordering::Unordered).await;
        scene.subscribe("ordered", Ordering::PerKey).await;
        scene
    }

    async fn subscribe(&mut self, name: &str, ordering: Ordering) {
        subscribe(&self.backend, "t", name, ordering, OnFailure::Park).await;
        self.members.push(join(&self.backend, "t", name).await);
    }

    async fn run(&self, statements: &str) {
        self.publisher
            .batch_execute(statements)
            .await
            .expect(statements);
    }

    /// Publishes by the library, beside the publisher under test.
    async fn publish(&self, payload: &'static str) {
        let message = fanout_core::NewMessage::new(payload).key("k");
        self.backend
            .publish(&topic("t"), vec![message])
            .await
            .expect("publishes");
    }

    /// Every group gets exactly these payloads, and settles them.
    async fn must_deliver(&self, expected: &[&str]) -> Vec<Vec<Delivery>> {
        let mut all = Vec::new();
        for member in &self.members {
            let mut got = Vec::new();
            let fetching = async {
                while got.len() < expected.len() {
                    let deliveries = member.fetch(100).await.expect("fetches").deliveries;
                    let settled = member.done_all(&deliveries).await.expect("settles");
                    assert_eq!(settled, deliveries.len());
                    got.extend(deliveries);
                    tokio::task::yield_now().await;
                }
            };
            let fetched = tokio::time::timeout(crate::readers::HANG, fetching).await;
            assert!(
                fetched.is_ok(),
                "{}: {} of {}",
                self.mode,
                got.len(),
                expected.len()
            );
            let mut payloads: Vec<&[u8]> = got.iter().map(|d| d.message.payload.as_ref()).collect();
            payloads.sort_unstable();
            let mut expected: Vec<&[u8]> = expected.iter().map(|p| p.as_bytes()).collect();
            expected.sort_unstable();
            assert_eq!(payloads, expected, "{}", self.mode);
            nothing_is_left(member).await;
            all.push(got);
        }
        all
    }

    /// Nothing more is owed, and the watermark comes to the end of the log.
    async fn must_be_settled_up_to(&self, last: i64) {
        for member in &self.members {
            member.leave().await.expect("leaves");
        }
        maintain(&self.backend).await;
        let stats = self.backend.stats(&topic("t")).await.expect("reads");
        assert!(stats.iter().all(|group| group.pending == 0), "{stats:?}");
        let watermark = self.backend.watermark(&topic("t")).await.expect("reads");
        assert_eq!(watermark.id, MessageId(last), "{}", self.mode);
    }
}

#[tokio::test]
async fn what_a_savepoint_undoes_is_never_delivered() {
    for mode in MODES {
        let scene = Scene::new(mode).await;
        scene
            .run(
                "BEGIN;
                 SELECT fanout.publish('t', ARRAY['a'::bytea], ARRAY['k']);
                 SAVEPOINT one;
                 SELECT fanout.publish('t', ARRAY['undone'::bytea], ARRAY['k']);
                 SAVEPOINT two;
                 SELECT fanout.publish('t', ARRAY['undone too'::bytea], ARRAY['k']);
                 RELEASE SAVEPOINT two;",
            )
            .await;
        scene.publish("beside").await;
        scene.must_deliver(&["beside"]).await;
        scene
            .run(
                "ROLLBACK TO SAVEPOINT one;
                 SELECT fanout.publish('t', ARRAY['b'::bytea], ARRAY['k']);
                 SAVEPOINT three;
                 SELECT fanout.publish('t', ARRAY['c'::bytea], ARRAY['k']);
                 RELEASE SAVEPOINT three;",
            )
            .await;
        scene.backend.maintain().await.unwrap();
        scene.run("COMMIT").await;
        let got = scene.must_deliver(&["a", "b", "c"]).await;
        let order: Vec<_> = got[1].iter().map(|d| d.message.payload.clone()).collect();
        assert_eq!(order, ["a", "b", "c"]);
        scene.must_be_settled_up_to(6).await;
    }
}

/// More subtransactions than the server lists in a snapshot.
#[tokio::test]
async fn a_publisher_with_very_many_subtransactions_is_seen_whole() {
    for mode in MODES {
        let scene = Scene::new(mode).await;
        scene.run("BEGIN").await;
        let mut expected = Vec::new();
        for n in 0..150 {
            scene
                .run(&format!(
                    "SAVEPOINT s{n}; SELECT fanout.publish('t', ARRAY['{n}'::bytea], ARRAY['{}'])",
                    n % 10
                ))
                .await;
            if n % 3 == 0 {
                scene.run(&format!("ROLLBACK TO SAVEPOINT s{n}")).await;
            } else {
                expected.push(n.to_string());
            }
            if n % 50 == 49 {
                // Ticks that must not see a part of it.
                scene.publish("beside").await;
                scene.must_deliver(&["beside"]).await;
                scene.backend.maintain().await.unwrap();
            }
        }
        scene.run("COMMIT").await;
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        scene.must_deliver(&expected).await;
        scene.must_be_settled_up_to(153).await;
    }
}

#[tokio::test]
async fn a_publisher_that_catches_its_own_errors_keeps_the_rest() {
    for mode in MODES {
        let scene = Scene::new(mode).await;
        scene
            .run(
                "CREATE FUNCTION try(n int) RETURNS void LANGUAGE plpgsql AS $$
                 BEGIN
                     PERFORM fanout.publish('t', ARRAY[convert_to('tried ' || n, 'utf8')]);
                     IF n % 2 = 0 THEN
                         RAISE EXCEPTION 'no';
                     END IF;
                 EXCEPTION WHEN raise_exception THEN
                     PERFORM fanout.publish('t', ARRAY[convert_to('instead ' || n, 'utf8')]);
                 END
                 $$;
                 SELECT try(n) FROM generate_series(1, 4) AS n;",
            )
            .await;
        scene
            .must_deliver(&["tried 1", "instead 2", "tried 3", "instead 4"])
            .await;
        scene.must_be_settled_up_to(6).await;
    }
}

#[tokio::test]
async fn prepared_publishers_delay_only_themselves() {
    for mode in MODES {
        let mut scene = Scene::new(mode).await;
        let name = scene.database.name().to_owned();
        for n in ["kept", "dropped"] {
            scene
                .run(&format!(
                    "BEGIN; SELECT fanout.publish('t', ARRAY['{n}'::bytea], ARRAY['k']);
                     PREPARE TRANSACTION '{name} {n}'"
                ))
                .await;
        }
        // It outlives the connection.
        scene.publisher = connect(scene.database.url()).await;
        for _ in 0..3 {
            scene.publish("beside").await;
            scene.must_deliver(&["beside"]).await;
            scene.backend.maintain().await.unwrap();
        }
        let watermark = scene.backend.watermark(&topic("t")).await.unwrap();
        assert_eq!(watermark.id, MessageId(0), "{mode}: both are undecided");
        scene.run(&format!("COMMIT PREPARED '{name} kept'")).await;
        scene.must_deliver(&["kept"]).await;
        scene
            .run(&format!("ROLLBACK PREPARED '{name} dropped'"))
            .await;
        scene.publish("after").await;
        scene.must_deliver(&["after"]).await;
        scene.must_be_settled_up_to(6).await;
    }
}

#[tokio::test]
async fn publishers_above_read_committed_reach_groups_that_they_cannot_see() {
    for mode in MODES {
        for level in ["REPEATABLE READ", "SERIALIZABLE"] {
            let mut scene = Scene::new(mode).await;
            scene
                .run(&format!(
                    "BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM fanout.outbox"
                ))
                .await;
            // The publisher's snapshot has neither of these.
            scene.subscribe("later", Ordering::Unordered).await;
            scene.subscribe("later ordered", Ordering::PerKey).await;
            scene.publish("beside").await;
            scene.must_deliver(&["beside"]).await;
            scene
                .run(
                    "SELECT fanout.publish('t', ARRAY['a'::bytea, 'b'], ARRAY['k', NULL]);
                     SAVEPOINT s;
                     SELECT fanout.publish('t', ARRAY['undone'::bytea]);
                     ROLLBACK TO SAVEPOINT s;
                     SELECT fanout.publish('t', ARRAY['c'::bytea], ARRAY['k'])",
                )
                .await;
            scene.publish("beside").await;
            scene.must_deliver(&["beside"]).await;
            scene.run("COMMIT").await;
            let got = scene.must_deliver(&["a", "b", "c"]).await;
            for delivery in got.iter().flatten() {
                assert!(
                    matches!(delivery.receipt.form(), ReceiptForm::Cursor(_)),
                    "{mode}, {level}: {delivery:?} is tracked"
                );
            }
            scene.must_be_settled_up_to(6).await;
        }
    }
}

#[tokio::test]
async fn a_publisher_that_cannot_be_serialised_leaves_nothing() {
    for mode in MODES {
        let scene = Scene::new(mode).await;
        scene
            .run("CREATE TABLE stock (n int); INSERT INTO stock VALUES (1)")
            .await;
        let other = connect(scene.database.url()).await;
        for attempt in 0..2 {
            let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT n FROM stock";
            scene.run(begin).await;
            if attempt == 0 {
                other
                    .batch_execute("UPDATE stock SET n = n + 1")
                    .await
                    .unwrap();
            }
            scene
                .run(&format!(
                    "SELECT fanout.publish('t', ARRAY['attempt {attempt}'::bytea], ARRAY['k'])"
                ))
                .await;
            let updated = scene
                .publisher
                .batch_execute("UPDATE stock SET n = n - 1")
                .await;
            assert_eq!(updated.is_err(), attempt == 0);
            scene.run("COMMIT").await;
        }
        scene.must_deliver(&["attempt 1"]).await;
        scene.must_be_settled_up_to(2).await;
    }
}
