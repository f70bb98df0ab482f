//! Counters of the server.

use tokio_postgres::Client;

use crate::failure::Result;

/// Counters of the server; only differences mean anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) wal_bytes: i64,
    pub(crate) wal_records: i64,
    pub(crate) full_page_images: i64,
    pub(crate) transactions: i64,
    pub(crate) rows_written: i64,
    /// Statements of clients, if the server counts them.
    pub(crate) statements: Option<i64>,
}

/// Reads the counters.
#[derive(Debug)]
pub(crate) struct Meter {
    client: Client,
    sql: String,
}

impl Meter {
    pub(crate) async fn new(client: Client) -> Result<Self> {
        let loaded = "SELECT 'pg_stat_statements' = ANY (
            string_to_array(replace(current_setting('shared_preload_libraries'), ' ', ''), ','))";
        let statements = if client.query_one(loaded, &[]).await?.get(0) {
            client
                .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
                .await?;
            // Without the texts, which would be read from a file.
            "(SELECT sum(calls)::bigint FROM pg_stat_statements(false) WHERE dbid = d.datid)"
        } else {
            "NULL::bigint"
        };
        let sql = format!(
            "SELECT (pg_current_wal_lsn() - '0/0')::bigint, w.wal_records, w.wal_fpi,
                d.xact_commit, d.tup_inserted + d.tup_updated + d.tup_deleted, {statements}
            FROM pg_stat_wal w, pg_stat_database d WHERE d.datname = current_database()"
        );
        Ok(Self { client, sql })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Reads all. Transactions and rows of other sessions lag behind by a second or more; WAL bytes
    /// and statements do not.
    pub(crate) async fn read(&self) -> Result<Counters> {
        let row = self.client.query_one(&self.sql, &[]).await?;
        Ok(Counters {
            wal_bytes: row.get(0),
            wal_records: row.get(1),
            full_page_images: row.get(2),
            transactions: row.get(3),
            rows_written: row.get(4),
            statements: row.get(5),
        })
    }
}

impl Counters {
    /// What was counted since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            wal_bytes: self.wal_bytes - earlier.wal_bytes,
            wal_records: self.wal_records - earlier.wal_records,
            full_page_images: self.full_page_images - earlier.full_page_images,
            transactions: self.transactions - earlier.transactions,
            rows_written: self.rows_written - earlier.rows_written,
            statements: self
                .statements
                .zip(earlier.statements)
                .map(|(now, then)| now - then),
        }
    }
}
