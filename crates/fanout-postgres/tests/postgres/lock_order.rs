//! Whoever locks several rows of a table and may wait for one locks them in the order of lanes or ids. Two
//! that lock the same rows in different orders would wait for each other for good.

use std::collections::BTreeSet;

use fanout_core::{Backend, BackendExt, CompletionMode, MemberExt, MessageId, NewMessage};
use fanout_postgres::PostgresBackend;
use fanout_testpg::TestDatabase;
use tokio_postgres::Client;

use crate::readers::HANG;
use crate::support::{connect, group, in_mode, migrated, open, per_key, take, topic, value};

/// Rows of one group, by lane or by id.
#[derive(Clone, Copy, Debug)]
struct Rows {
    table: &'static str,
    key: &'static str,
    /// All columns that are written.
    columns: &'static str,
    of: &'static str,
}

const LEASES: Rows = Rows {
    table: "outbox_lane_leases",
    key: "lane",
    columns: "topic_id, group_index, lane, owner, expires_at",
    of: "group_index = 0",
};
const CURSORS: Rows = Rows {
    table: "outbox_subscription_offsets",
    key: "lane",
    columns: "topic_id, group_index, lane, epoch, version, tick, through_tick, last_id, settled_ahead, failures,
        blocked_until, stalls, trial_id",
    of: "group_index = 0",
};
const TRACKING: Rows = Rows {
    table: "outbox_consumer_groups",
    key: "id",
    columns: "topic_id, group_index, lane, id, attempts, stalls, parked, leased_until, lease_token, available_at,
        last_error",
    of: "group_index = 0",
};
const RECORDS: Rows = Rows {
    table: "outbox_completions",
    key: "id",
    columns: "topic_id, id, completed_at, required_groups_bitmap, completed_groups_bitmap",
    of: "true",
};

/// A group with messages, or with lanes, whose rows lie in the reverse order.
struct Place {
    backend: PostgresBackend,
    caller: Client,
    watcher: Client,
    gate: Client,
    /// Last, so that it goes after the connections to it.
    _database: TestDatabase,
}

impl Place {
    async fn open(mode: CompletionMode, ordered: bool) -> Self {
        let database = migrated().await;
        let backend = open(&database).await;
        let name = topic("t");
        backend.create_topic(&name, in_mode(mode)).await.unwrap();
        if ordered {
            let subscribed = backend.subscribe(&name, &group("g"), per_key()).await;
            subscribed.unwrap();
        } else {
            let subscribed = backend.subscribe_from_now(&name, &group("g")).await;
            subscribed.unwrap();
        }
        Self {
            backend,
            caller: connect(database.url()).await,
            watcher: connect(database.url()).await,
            gate: connect(database.url()).await,
            _database: database,
        }
    }

    async fn publish(&self, messages: usize) -> Vec<MessageId> {
        let batch = (0..messages)
            .map(|n| NewMessage::new(format!("message {n}")).key(n.to_string()))
            .collect();
        self.backend.publish(&topic("t"), batch).await.unwrap()
    }

    async fn run(&self, statements: &str) {
        self.watcher
            .batch_execute(statements)
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Scans that follow the rows where they lie meet them last first.
    async fn reverse(&self, rows: Rows) {
        let Rows {
            table,
            key,
            columns,
            ..
        } = rows;
        self.run(&format!(
            "CREATE TEMP TABLE turned AS SELECT {columns} FROM fanout.{table};
             DELETE FROM fanout.{table};
             INSERT INTO fanout.{table} ({columns}) SELECT {columns} FROM turned ORDER BY {key} DESC;
             DROP TABLE turned;
             ANALYZE fanout.{table}"
        ))
        .await;
    }

    async fn keys(&self, rows: Rows, locking: &str) -> BTreeSet<i64> {
        let Rows { table, key, of, .. } = rows;
        let sql = format!("SELECT {key}::bigint FROM fanout.{table} WHERE {of} {locking}");
        let found = self.watcher.query(&sql, &[]).await.unwrap();
        found.iter().map(|row| row.get(0)).collect()
    }

    /// Runs a call that finds one of the rows locked, and returns which it has locked when it waits for it.
    async fn locked_before(&self, rows: Rows, gate: i64, call: impl Future) -> BTreeSet<i64> {
        let Rows { table, key, of, .. } = rows;
        let lock =
            format!("BEGIN; SELECT FROM fanout.{table} WHERE {of} AND {key} = {gate} FOR UPDATE");
        self.gate.batch_execute(&lock).await.unwrap();
        let holder: i32 = value(&self.gate, "SELECT pg_backend_pid()").await;
        let waits = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND {holder} = ANY (pg_blocking_pids(pid))"
        );
        let watch = async {
            while value::<i64>(&self.watcher, &waits).await == 0 {
                tokio::task::yield_now().await;
            }
            let all = self.keys(rows, "").await;
            let free = self.keys(rows, "FOR UPDATE SKIP LOCKED").await;
            self.gate.batch_execute("ROLLBACK").await.unwrap();
            all.difference(&free).copied().collect()
        };
        let both = async { tokio::join!(watch, call).0 };
        tokio::time::timeout(HANG, both)
            .await
            .expect("the call waits for the row, and ends")
    }

    /// The same with a statement; it must have locked these rows.
    async fn locks_in_order(&self, rows: Rows, wanted: &[i64], gate: i64, statement: &str) {
        let call = async {
            let called = self.caller.batch_execute(statement).await;
            called.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        };
        let locked = self.locked_before(rows, gate, call).await;
        let expected: BTreeSet<i64> = wanted.iter().copied().filter(|key| *key <= gate).collect();
        assert_eq!(locked, expected, "{statement}, {}", rows.table);
    }
}

const ALL_LANES: [i64; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Leases and cursors lie in reverse order; the lanes are owned by others or by `me`.
async fn lanes(owners: &str) -> Place {
    let place = Place::open(CompletionMode::OffsetWatermark, false).await;
    place
        .run(&format!(
            "UPDATE fanout.outbox_lane_leases l SET owner = o.owner, expires_at = o.expires_at
             FROM (VALUES {owners}) AS o (first, last, owner, expires_at)
             WHERE l.lane BETWEEN o.first AND o.last"
        ))
        .await;
    place.reverse(LEASES).await;
    place.reverse(CURSORS).await;
    place
}

const MINE: &str = "(0, 7, 'me', 'infinity'::timestamptz)";
const SUBSCRIPTION: &str = "(SELECT min(subscription_id) FROM fanout.outbox_topic_subscriptions)";

fn hold(give: &str, leaving: bool) -> String {
    format!(
        "SELECT FROM fanout.hold_lanes({SUBSCRIPTION}, 0::smallint, 'me', 'me', '30 s', '{give}', 0, {leaving}, NULL)"
    )
}

#[tokio::test]
async fn lanes_are_removed_in_order() {
    for rows in [LEASES, CURSORS] {
        let place = lanes(MINE).await;
        let call = "SELECT fanout.drop_cursors(1, 0::smallint)";
        place.locks_in_order(rows, &ALL_LANES, 4, call).await;
    }
}

#[tokio::test]
async fn lanes_are_held_in_order() {
    let place = lanes(MINE).await;
    let call = hold("{6}", false);
    place.locks_in_order(LEASES, &ALL_LANES, 4, &call).await;
    let place = lanes(MINE).await;
    let call =
        "SELECT FROM fanout.extend_lanes(1, 0::smallint, 'me', '{7,6,5,4,3,2,1,0}', '1 h', NULL)";
    place.locks_in_order(LEASES, &ALL_LANES, 4, call).await;
}

#[tokio::test]
async fn lanes_are_given_up_in_order() {
    for rows in [LEASES, CURSORS] {
        let place = lanes(MINE).await;
        let call = hold("{}", true);
        place.locks_in_order(rows, &ALL_LANES, 4, &call).await;
    }
}

/// Some are given up, and lower ones taken from a member that vanished.
#[tokio::test]
async fn lanes_are_exchanged_in_order() {
    let owners = "(0, 3, 'former', '-infinity'::timestamptz), (4, 7, 'me', 'infinity')";
    let place = lanes(owners).await;
    let call = hold("{5,6}", false);
    let exchanged = [0, 1, 2, 3, 5, 6];
    place.locks_in_order(CURSORS, &exchanged, 2, &call).await;
}

#[tokio::test]
async fn free_lanes_are_moved_in_order() {
    for owners in [
        "(0, 7, 'former', '-infinity'::timestamptz)",
        "(0, 7, NULL, NULL::timestamptz)",
    ] {
        let place = lanes(owners).await;
        // A newer tick, up to which nothing is owed.
        place.publish(1).await;
        place
            .run("SELECT FROM fanout.tick_1(true, '0'); DELETE FROM fanout.outbox")
            .await;
        let call = "SELECT fanout.advance_free_lanes(1, 0::smallint, NULL)";
        place.locks_in_order(CURSORS, &ALL_LANES, 4, call).await;
    }
}

#[tokio::test]
async fn cursors_are_read_again_in_order() {
    let place = lanes(MINE).await;
    let call = "SELECT FROM fanout.reread_cursors(1, 0::smallint, '{7,6,5,4,3,2,1,0}', '{0,0,0,0,0,0,0,0}')";
    place.locks_in_order(CURSORS, &ALL_LANES, 4, call).await;
}

#[tokio::test]
async fn cursors_are_committed_in_order() {
    for ordered in [false, true] {
        let place = Place::open(CompletionMode::OffsetWatermark, ordered).await;
        place.publish(200).await;
        let member = place
            .backend
            .join_group(&topic("t"), &group("g"))
            .await
            .unwrap();
        let taken = take(&*member, 200).await;
        place.reverse(CURSORS).await;
        let settle = member.done_all(&taken);
        let locked = place.locked_before(CURSORS, 4, settle).await;
        assert_eq!(locked, (0..=4).collect());
    }
}

const TOKEN: i64 = 7;

/// Messages of a group that keeps tracking rows, leased under one token, in reverse order.
async fn tracked(parked: bool) -> (Place, Vec<i64>) {
    let place = Place::open(CompletionMode::ReferenceCounting, false).await;
    let sent = place.publish(200).await;
    place
        .run(&format!(
            "UPDATE fanout.outbox_consumer_groups SET lease_token = {TOKEN}, leased_until = 'infinity',
                parked = {parked}, available_at = CASE WHEN {parked} THEN now() END"
        ))
        .await;
    place.reverse(TRACKING).await;
    place.reverse(RECORDS).await;
    (place, sent.iter().map(|id| id.0).collect())
}

/// What accounts for them: a parked message has no part in a record.
fn tables(parked: bool) -> &'static [Rows] {
    if parked {
        &[TRACKING]
    } else {
        &[RECORDS, TRACKING]
    }
}

fn array(ids: impl IntoIterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    format!("'{{{}}}'", ids.join(","))
}

#[tokio::test]
async fn tracking_rows_are_changed_in_order() {
    let calls = [
        "SELECT FROM fanout.fail(1, 1, 0::smallint, IDS, TOKENS, DELAYS, ERRORS, NULL)",
        "SELECT FROM fanout.release(1, 1, 0::smallint, IDS, TOKENS)",
        "SELECT FROM fanout.extend(1, 1, 0::smallint, IDS, TOKENS, '1 h', NULL)",
    ];
    for call in calls {
        let (place, ids) = tracked(false).await;
        let repeated = |text: &str| format!("array_fill({text}, ARRAY[{}])", ids.len());
        let call = call
            .replace("IDS", &array(ids.iter().rev().copied()))
            .replace("TOKENS", &repeated(&format!("{TOKEN}::bigint")))
            .replace("DELAYS", &repeated("'1 s'::interval"))
            .replace("ERRORS", &repeated("'failed'::text"));
        place.locks_in_order(TRACKING, &ids, ids[100], &call).await;
    }
}

#[tokio::test]
async fn messages_are_settled_in_order() {
    for parked in [false, true] {
        for rows in tables(parked) {
            let (place, ids) = tracked(parked).await;
            let call = format!(
                "SELECT FROM fanout.settle_1({SUBSCRIPTION}, 0::smallint, {}, array_fill({TOKEN}::bigint, ARRAY[{}]), true, NULL)",
                array(ids.iter().copied()),
                ids.len()
            );
            place.locks_in_order(*rows, &ids, ids[100], &call).await;
        }
    }
}

#[tokio::test]
async fn settlements_are_folded_in_order() {
    for rows in [RECORDS, TRACKING] {
        let (place, ids) = tracked(false).await;
        place
            .run(
                "INSERT INTO fanout.outbox_settlements (topic_id, group_index, id)
                 SELECT topic_id, group_index, id FROM fanout.outbox_consumer_groups ORDER BY id DESC",
            )
            .await;
        let call = "SELECT fanout.fold(1, 0::smallint, 1000, NULL)";
        place.locks_in_order(rows, &ids, ids[100], call).await;
    }
}

#[tokio::test]
async fn rows_of_a_group_that_has_gone_are_removed_in_order() {
    for parked in [false, true] {
        for rows in tables(parked) {
            let (place, ids) = tracked(parked).await;
            place
                .run(
                    "UPDATE fanout.outbox_topic_subscriptions SET status = 'CANCELLED';
                     UPDATE fanout.consumer_group_index SET released = true, freed_id = fanout.drawn_id(topic_id)",
                )
                .await;
            let call = "SELECT fanout.reap(1, 0::smallint, 1000, NULL)";
            place.locks_in_order(*rows, &ids, ids[100], call).await;
        }
    }
}

#[tokio::test]
async fn a_group_that_catches_up_locks_records_in_order() {
    let (place, ids) = tracked(false).await;
    place
        .run(
            "DELETE FROM fanout.outbox_consumer_groups;
             UPDATE fanout.outbox_completions SET required_groups_bitmap = '\\x00';
             UPDATE fanout.outbox_topic_subscriptions SET owed_from_id = 1, caught_up = false, catch_up_to = NULL,
                catch_up_publishers = NULL, catch_up_from = 0",
        )
        .await;
    place.reverse(RECORDS).await;
    let call = format!("SELECT FROM fanout.catch_up({SUBSCRIPTION}, 1000)");
    place.locks_in_order(RECORDS, &ids, ids[100], &call).await;
}
