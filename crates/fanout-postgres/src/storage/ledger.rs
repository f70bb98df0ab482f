//! The migration ledger.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{Error, ErrorKind, Result};

use crate::error::ResultExt;
use crate::migrator;
use crate::schema::__diesel_schema_migrations as ledger;

/// Serialises this transaction of a migrator against those of every other, and makes the schema.
pub(crate) fn begin(connection: &mut AsyncConnectionWrapper<AsyncPgConnection>) -> QueryResult<()> {
    // The library's statements name the schema; diesel's ledger follows the path.
    connection.batch_execute(
        "SELECT pg_advisory_xact_lock(1718580078, 0);
         SET LOCAL client_min_messages = warning;
         CREATE SCHEMA IF NOT EXISTS fanout;
         SET LOCAL search_path = fanout;",
    )
}

/// Lets migrations be reverted though messages are lost.
pub(crate) fn force_down(
    connection: &mut AsyncConnectionWrapper<AsyncPgConnection>,
) -> QueryResult<()> {
    connection.batch_execute("SET LOCAL fanout.force_down = 'on'")
}

diesel::table! {
    information_schema.tables (table_schema, table_name) {
        table_schema -> Text,
        table_name -> Text,
    }
}

/// The versions that were applied; none when there is no ledger.
pub(crate) async fn applied(connection: &mut AsyncPgConnection) -> Result<BTreeSet<String>> {
    let exists: bool = diesel::select(diesel::dsl::exists(
        tables::table
            .filter(tables::table_schema.eq("fanout"))
            .filter(tables::table_name.eq("__diesel_schema_migrations")),
    ))
    .get_result(connection)
    .await
    .reading()?;
    if !exists {
        return Ok(BTreeSet::new());
    }
    let versions: Vec<String> = ledger::table
        .select(ledger::version)
        .load(connection)
        .await
        .reading()?;
    Ok(versions.into_iter().collect())
}

/// Refuses a database whose schema is missing, older or newer than this library.
pub(crate) async fn check(connection: &mut AsyncPgConnection) -> Result<()> {
    refuse_other(&applied(connection).await?)
}

/// Refuses all migrations but those of this library.
pub(crate) fn refuse_other(applied: &BTreeSet<String>) -> Result<()> {
    let known: BTreeSet<String> = migrator::versions();
    let message = if applied.is_empty() {
        "database has no fanout schema".to_owned()
    } else if let Some(unknown) = applied.difference(&known).next() {
        format!(
            "database schema is newer than this library, upgrade the library unknown_migration=`{unknown}`"
        )
    } else if let Some(missing) = known.difference(applied).next() {
        format!("database schema is older than this library missing_migration=`{missing}`")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::SchemaMismatch, message))
}
