//! Databases for tests on Postgres.

use fanout_postgres::Migrator;
use fanout_testpg::{Template, TestDatabase};
use tokio_postgres::{Client, NoTls};

/// A database of the test's own, with the schema in place.
pub async fn migrated() -> TestDatabase {
    let template = Template::new("fanout", migrations(), |url| async move {
        Migrator::new(url).up().await.map(drop)
    });
    TestDatabase::create(&template)
        .await
        .expect("a database can be made")
}

/// A plain connection.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("it connects");
    tokio::spawn(connection);
    client
}

/// What a migrated database follows from: the text of all migrations.
fn migrations() -> String {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("the migrations are there")
        .map(|entry| {
            entry
                .expect("a directory can be read")
                .path()
                .join("up.sql")
        })
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|file| std::fs::read_to_string(file).expect("a migration can be read"))
        .collect()
}
