//! The template of these tests, and what they do with its copies.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

use fanout_testpg::Template;
use tokio_postgres::{Client, Error, NoTls};

/// How often this process migrated the template.
pub(crate) static MIGRATED: AtomicU32 = AtomicU32::new(0);

pub(crate) static TEMPLATE: LazyLock<Template> =
    LazyLock::new(|| Template::new("testpg", "1", migrate));

async fn migrate(url: String) -> Result<(), Error> {
    MIGRATED.fetch_add(1, Ordering::Relaxed);
    connect(&url)
        .await
        .batch_execute("CREATE TABLE thing (id int PRIMARY KEY)")
        .await
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// How many rows the table of the template has; none if the database has no such table.
pub(crate) async fn things(url: &str) -> Option<i64> {
    let counted = connect(url)
        .await
        .query_one("SELECT count(*) FROM thing", &[])
        .await;
    counted.ok().map(|row| row.get(0))
}
