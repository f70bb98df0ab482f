//! Opening one connection.

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use fanout_core::{Error, ErrorKind, Result};
use tokio_postgres::{Config, NoTls};

use crate::error::one_line;

/// Refuses a URL, or list of key=value pairs, that is none.
pub(crate) fn check_url(url: &str) -> Result<()> {
    url.parse::<Config>().map(drop).map_err(|error| {
        // The URL itself may hold a password.
        Error::new(
            ErrorKind::InvalidInput,
            format!("database url is not valid: {}", reason(&error)),
        )
        .with_source(error)
    })
}

/// A connection that is driven by a task of its own. Unlike the driver's own way, it keeps the reason
/// of a failure.
pub(crate) async fn establish(url: &str) -> ConnectionResult<AsyncPgConnection> {
    match tokio_postgres::connect(url, NoTls).await {
        Ok((client, connection)) => {
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
        Err(error) => Err(ConnectionError::BadConnection(reason(&error))),
    }
}

/// The database cannot be reached.
pub(crate) fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "cannot connect to the database: {}",
            one_line(&error.to_string())
        ),
    )
    .with_source(error)
}

/// An error and what is behind it, in one line.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = one_line(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = one_line(&cause.to_string());
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
