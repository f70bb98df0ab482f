//! What happened to tables.

use serde::Serialize;
use tokio_postgres::Client;

use crate::failure::Result;

/// The kind of the tables that hold messages.
pub(crate) const LOG: &str = "outbox";

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
    /// By scans of either kind; rows that an index alone could tell do not count.
    pub(crate) rows_read: i64,
    pub(crate) table_bytes: i64,
    pub(crate) index_bytes: i64,
}

/// The tables that rows were written to or read from, most written first; those of one kind
/// together. Sessions that are still open may not have handed in their last counts.
pub(crate) async fn tables(client: &Client) -> Result<Vec<TableActivity>> {
    let sql = r"SELECT regexp_replace(relname, '(_\d+)+$', '') AS kind,
            sum(n_tup_ins)::bigint, sum(n_tup_upd)::bigint, sum(n_tup_hot_upd)::bigint,
            sum(n_tup_del)::bigint, sum(n_dead_tup)::bigint,
            sum(vacuum_count + autovacuum_count)::bigint,
            sum(seq_scan)::bigint, sum(idx_scan)::bigint,
            sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint,
            sum(pg_table_size(relid))::bigint, sum(pg_indexes_size(relid))::bigint
        FROM pg_stat_user_tables WHERE schemaname = 'fanout'
        GROUP BY kind
        HAVING sum(n_tup_ins + n_tup_upd + n_tup_del) > 100
            OR sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) > 100
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
        rows_read: row.get(9),
        table_bytes: row.get(10),
        index_bytes: row.get(11),
    };
    Ok(rows.iter().map(activity).collect())
}
