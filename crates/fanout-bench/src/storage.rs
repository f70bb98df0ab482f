//! All SQL of the benchmarks: what the server says of itself.

mod ageing;
mod counters;
mod held;
mod tables;

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

pub(crate) use self::ageing::age;
pub(crate) use self::counters::{Counters, Meter};
pub(crate) use self::held::Held;
pub(crate) use self::tables::{LOG, TableActivity, tables};
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

/// How long to wait for sessions to end. Those of others in a given database may not.
const PATIENCE: Duration = Duration::from_secs(2);

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

/// Removes a database of the benchmark's own, so that nothing vacuums it during later runs.
pub(crate) async fn drop_database(client: &Client, name: &str) -> Result<()> {
    let sql = format!("DROP DATABASE \"{name}\" WITH (FORCE)");
    Ok(client.batch_execute(&sql).await?)
}

/// The server's version, and the settings that bear on the result.
pub(crate) async fn settings(client: &Client) -> Result<Vec<(String, String)>> {
    let sql = "SELECT 'server_version', current_setting('server_version')
        UNION ALL SELECT name, current_setting(name) FROM unnest($1::text[]) AS name";
    let rows = client.query(sql, &[&SETTINGS]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Waits until no other session is in this database: a session that ends hands in its counts.
pub(crate) async fn alone(client: &Client) -> Result<()> {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let end = Instant::now() + PATIENCE;
    while client.query_one(sql, &[]).await?.get::<_, i64>(0) > 0 && Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
