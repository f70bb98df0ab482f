//! What the engine needs of the database as a whole.

use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use fanout_core::{Error, ErrorKind, Result};

use super::fns::current_setting;
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
