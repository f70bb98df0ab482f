//! Every statement that this crate sends, one function each.

use std::{future::Future, thread, time::Duration};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage, error::SqlState};

use crate::{Error, Result};

/// How often connections are ended before a busy server is left to do it.
const DISCONNECTS: u32 = 500;

/// Connects; the connection lives until the client is dropped.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let connected = tokio_postgres::connect(url, NoTls).await;
    let (client, connection) = connected.map_err(Error::sql("connect"))?;
    // How it ends, the client's next statement tells.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Runs `work` to its end on a thread of its own: for callers that may themselves be within a
/// runtime, such as `drop`.
pub(crate) fn blocking<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let run = || {
        let built = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = built.map_err(Error::file("start a runtime for", "a database".as_ref()))?;
        runtime.block_on(work)
    };
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(crate) async fn create_database(client: &Client, name: &str) -> Result<()> {
    run(
        client,
        "create a database",
        &format!("CREATE DATABASE {}", quote(name)),
    )
    .await
}

/// Makes a copy of a template. With `files`, by copying files after a checkpoint: quicker, above
/// all for many copies at once, unless the server really flushes.
pub(crate) async fn copy_database(
    client: &Client,
    name: &str,
    template: &str,
    files: bool,
) -> Result<()> {
    let strategy = if files { " STRATEGY FILE_COPY" } else { "" };
    let (name, template) = (quote(name), quote(template));
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template}{strategy}");
    run(client, "copy a database", &sql).await
}

/// Drops a database whoever uses it, also if it has prepared transactions, which `FORCE` spares.
pub(crate) async fn drop_database(client: &Client, name: &str, url: &str) -> Result<()> {
    // Whatever this cannot do, the statement has its own way for.
    let _ = disconnect(client, name).await;
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote(name));
    match client.batch_execute(&sql).await {
        Err(why) if why.code() == Some(&SqlState::OBJECT_IN_USE) => {
            roll_back_prepared(&connect(url).await?, name).await?;
            run(client, "drop a database", &sql).await
        }
        done => done.map_err(Error::sql("drop a database")),
    }
}

/// Ends the connections to a database. The server's own ways to wait for that do so for a tenth
/// of a second at a time.
async fn disconnect(client: &Client, name: &str) -> Result<()> {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = $1 AND backend_type = 'client backend'";
    for _ in 0..DISCONNECTS {
        let ended = client.execute(sql, &[&name]).await;
        if ended.map_err(Error::sql("end connections"))? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Drops a database that nobody uses.
pub(crate) async fn drop_unused_database(client: &Client, name: &str) -> Result<()> {
    run(
        client,
        "drop a database",
        &format!("DROP DATABASE IF EXISTS {}", quote(name)),
    )
    .await
}

async fn roll_back_prepared(client: &Client, database: &str) -> Result<()> {
    let sql = "SELECT gid FROM pg_prepared_xacts WHERE database = $1";
    let rows = client.query(sql, &[&database]).await;
    for row in rows.map_err(Error::sql("list prepared transactions"))? {
        let gid: String = row.get(0);
        let sql = format!("ROLLBACK PREPARED '{}'", gid.replace('\'', "''"));
        run(client, "roll back a prepared transaction", &sql).await?;
    }
    Ok(())
}

/// The finished template whose name begins so.
pub(crate) async fn find_template(client: &Client, prefix: &str) -> Result<Option<String>> {
    let sql = "SELECT datname::text FROM pg_database \
               WHERE starts_with(datname::text, $1) AND datistemplate";
    let row = client.query_opt(sql, &[&prefix]).await;
    Ok(row
        .map_err(Error::sql("look for a template"))?
        .map(|row| row.get(0)))
}

/// Every database whose name begins so.
pub(crate) async fn find_databases(client: &Client, prefix: &str) -> Result<Vec<String>> {
    let sql = "SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1)";
    let rows = client
        .query(sql, &[&prefix])
        .await
        .map_err(Error::sql("list the databases"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Makes a database a template: nobody can connect to it, since a copy needs it unused.
pub(crate) async fn seal_template(client: &Client, name: &str) -> Result<()> {
    let sql = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", quote(name));
    run(client, "seal a template", &sql).await?;
    disconnect(client, name).await?;
    let sql = format!("ALTER DATABASE {} IS_TEMPLATE true", quote(name));
    run(client, "seal a template", &sql).await
}

/// Templates cannot be dropped before this.
pub(crate) async fn unseal_template(client: &Client, name: &str) -> Result<()> {
    let sql = format!("ALTER DATABASE {} IS_TEMPLATE false", quote(name));
    run(client, "unseal a template", &sql).await
}

/// Waits until no other client holds `key`; the lock goes when the client is dropped.
pub(crate) async fn lock(client: &Client, key: i64) -> Result<()> {
    let locked = client.execute("SELECT pg_advisory_lock($1)", &[&key]).await;
    locked.map(drop).map_err(Error::sql("take a lock"))
}

pub(crate) async fn unlock(client: &Client, key: i64) -> Result<()> {
    let unlocked = client
        .execute("SELECT pg_advisory_unlock($1)", &[&key])
        .await;
    unlocked.map(drop).map_err(Error::sql("give back a lock"))
}

/// The server's time, in seconds since 1970.
pub(crate) async fn now(client: &Client) -> Result<u64> {
    let answer = client
        .simple_query("SELECT extract(epoch FROM now())::bigint")
        .await;
    let messages = answer.map_err(Error::sql("ask for the time"))?;
    let seconds = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    Ok(seconds.unwrap_or_default())
}

async fn run(client: &Client, action: &str, sql: &str) -> Result<()> {
    client.batch_execute(sql).await.map_err(Error::sql(action))
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
