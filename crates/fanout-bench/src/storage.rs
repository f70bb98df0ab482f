//! All SQL of the benchmarks: what the server says of itself.

use serde::Serialize;
use tokio_postgres::{Client, NoTls};

use crate::failure::Result;

/// Settings of the server that bear on the result.
const SETTINGS: &[&str] = &[
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "autovacuum",
];

/// Counters of the server; only differences mean anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) wal_bytes: i64,
    pub(crate) wal_records: i64,
    pub(crate) full_page_images: i64,
    pub(crate) transactions: i64,
    pub(crate) rows_written: i64,
}

/// What happened to the tables of one kind since they were made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TableActivity {
    /// The name without the topic and leaf.
    pub(crate) table: String,
    pub(crate) inserted: i64,
    pub(crate) updated: i64,
    /// Updates that needed no new index entries.
    pub(crate) hot_updated: i64,
    pub(crate) deleted: i64,
    pub(crate) dead: i64,
    pub(crate) vacuums: i64,
    pub(crate) sequential_scans: i64,
    pub(crate) index_scans: i64,
    pub(crate) table_bytes: i64,
    pub(crate) index_bytes: i64,
}

/// Opens a connection for these statements, apart from the engine's.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with the client; what breaks it fails the client's next statement too.
    tokio::spawn(connection);
    Ok(client)
}

/// Executes a script.
pub(crate) async fn execute(client: &Client, script: &str) -> Result<()> {
    Ok(client.batch_execute(script).await?)
}

/// Writes out what earlier runs left to be written.
pub(crate) async fn checkpoint(client: &Client) -> Result<()> {
    Ok(client.batch_execute("CHECKPOINT").await?)
}

/// The server's version, and the settings that bear on the result.
pub(crate) async fn settings(client: &Client) -> Result<Vec<(String, String)>> {
    let sql = "SELECT 'server_version', current_setting('server_version')
        UNION ALL SELECT name, current_setting(name) FROM unnest($1::text[]) AS name";
    let rows = client.query(sql, &[&SETTINGS]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Reads the counters. Those of other sessions lag behind by up to a second; WAL bytes do not.
pub(crate) async fn counters(client: &Client) -> Result<Counters> {
    let sql = "SELECT (pg_current_wal_lsn() - '0/0')::bigint, w.wal_records, w.wal_fpi,
            d.xact_commit, d.tup_inserted + d.tup_updated + d.tup_deleted
        FROM pg_stat_wal w, pg_stat_database d WHERE d.datname = current_database()";
    let row = client.query_one(sql, &[]).await?;
    Ok(Counters {
        wal_bytes: row.get(0),
        wal_records: row.get(1),
        full_page_images: row.get(2),
        transactions: row.get(3),
        rows_written: row.get(4),
    })
}

/// The tables that rows were written to, most first; those of one kind together.
pub(crate) async fn tables(client: &Client) -> Result<Vec<TableActivity>> {
    let sql = r"SELECT regexp_replace(relname, '(_\d+)+$', '') AS kind,
            sum(n_tup_ins)::bigint, sum(n_tup_upd)::bigint, sum(n_tup_hot_upd)::bigint,
            sum(n_tup_del)::bigint, sum(n_dead_tup)::bigint,
            sum(vacuum_count + autovacuum_count)::bigint,
            sum(seq_scan)::bigint, sum(idx_scan)::bigint,
            sum(pg_table_size(relid))::bigint, sum(pg_indexes_size(relid))::bigint
        FROM pg_stat_user_tables WHERE schemaname = 'fanout'
        GROUP BY kind
        HAVING sum(n_tup_ins + n_tup_upd + n_tup_del) > 100
        ORDER BY sum(n_tup_ins + n_tup_upd + n_tup_del) DESC, kind";
    let rows = client.query(sql, &[]).await?;
    let activity = |row: &tokio_postgres::Row| TableActivity {
        table: row.get(0),
        inserted: row.get(1),
        updated: row.get(2),
        hot_updated: row.get(3),
        deleted: row.get(4),
        dead: row.get(5),
        vacuums: row.get(6),
        sequential_scans: row.get(7),
        index_scans: row.get(8),
        table_bytes: row.get(9),
        index_bytes: row.get(10),
    };
    Ok(rows.iter().map(activity).collect())
}
