//! What the engine needs of the database as a whole.

use diesel_async::{AsyncPgConnection, RunQueryDsl};
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
