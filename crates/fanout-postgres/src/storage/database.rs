//! What the engine needs of the database as a whole.

use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use fanout_core::{Error, ErrorKind, Result};

use super::fns::{current_setting, needs_rebase, rebase as rebase_all};
use crate::error::ResultExt;

/// Refuses a database whose transactions are not READ COMMITTED by default: the server functions
/// need a fresh snapshot for each of their statements.
pub(crate) async fn check_isolation(connection: &mut AsyncPgConnection) -> Result<()> {
    let setting = "default_transaction_isolation";
    let isolation: Option<String> = diesel::select(current_setting(setting, false))
        .get_result(connection)
        .await
        .reading()?;
    match isolation.as_deref() {
        Some("read committed") => Ok(()),
        other => Err(Error::new(
            ErrorKind::IsolationLevel,
            format!(
                "{setting} of the database or role must be read committed {setting}=`{}`",
                other.unwrap_or("")
            ),
        )),
    }
}

/// Refuses a database whose transaction ids are another cluster's: no tick could tell what is new.
pub(crate) async fn check_transaction_ids(connection: &mut AsyncPgConnection) -> Result<()> {
    let foreign: bool = diesel::select(needs_rebase())
        .get_result(connection)
        .await
        .reading()?;
    if foreign {
        return Err(Error::new(
            ErrorKind::NeedsRebase,
            "database was restored from a dump of another cluster, its transaction ids mean nothing here",
        ));
    }
    Ok(())
}

/// Gives messages and ticks transaction ids of this cluster; tells of how many messages, 0 when nothing
/// is wrong.
pub(crate) fn rebase(
    connection: &mut AsyncConnectionWrapper<AsyncPgConnection>,
) -> diesel::QueryResult<i64> {
    diesel::RunQueryDsl::get_result(diesel::select(rebase_all()), connection)
}

/// Refuses a transaction in which a statement has failed.
pub(crate) async fn check_not_failed(connection: &mut AsyncPgConnection) -> Result<()> {
    connection.batch_execute("SELECT").await.reading()
}

/// Bounds what others may have to wait for this transaction, when its client freezes, and what it
/// waits for others.
pub(crate) async fn bound_waits(connection: &mut AsyncPgConnection) -> Result<()> {
    connection
        .batch_execute(
            "SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL lock_timeout = '30s'",
        )
        .await
        .reading()
}
