//! Which database, and the engine on it.

use std::env;
use std::sync::Arc;

use fanout::{Backend, PostgresBackend};

use crate::failure::{Failure, Result};

pub(crate) const HELP: &str = "The database [env: FANOUT_DATABASE_URL, or else DATABASE_URL]";

/// The database that was named, or that the environment names.
pub(crate) fn url(given: Option<String>) -> Result<String> {
    given
        .or_else(own_variable)
        .or_else(|| variable("DATABASE_URL"))
        .ok_or_else(|| {
            Failure::Usage(
                "no database is given; pass `--database-url`, or set FANOUT_DATABASE_URL"
                    .to_owned(),
            )
        })
}

/// The variable that is meant for this program alone.
pub(crate) fn own_variable() -> Option<String> {
    variable("FANOUT_DATABASE_URL")
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The engine on it.
pub(crate) async fn connect(given: Option<String>) -> Result<Arc<dyn Backend>> {
    let url = url(given)?;
    let backend = PostgresBackend::builder(&url)
        .pool_size(4)
        .connect()
        .await?;
    Ok(Arc::new(backend))
}
