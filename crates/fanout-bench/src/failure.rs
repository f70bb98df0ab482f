//! What can go wrong.

use thiserror::Error;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Engine(#[from] fanout_core::Error),
    #[error("throwaway cluster: {0}")]
    Cluster(#[from] fanout_testpg::Error),
    #[error("database: {0}{detail}", detail = server_message(.0))]
    Database(#[from] tokio_postgres::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("report cannot be written as json: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a message is not of this run")]
    ForeignMessage,
    #[error("groups have stopped settling published=`{published}` settled=`{settled}`")]
    Stalled { published: u64, settled: u64 },
    #[error(
        "the accounting does not add up published=`{published}` groups=`{groups}` delivered=`{delivered}` settled=`{settled}` pending=`{pending}`"
    )]
    Accounting {
        published: u64,
        groups: u32,
        delivered: u64,
        settled: u64,
        pending: u64,
    },
    #[error(
        "messages were lost, settled twice or never published lost=`{lost}` settled_twice=`{settled_twice}` never_published=`{never_published}`"
    )]
    Broken {
        lost: u64,
        settled_twice: u64,
        never_published: u64,
    },
    #[error("messages of a key were delivered out of order inversions=`{inversions}`")]
    Inverted { inversions: u64 },
    #[error("somebody waited for the row of the topic whose mode changed waits=`{waits}`")]
    Waited { waits: u64 },
}

/// The driver's own text says only that there was an error.
fn server_message(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(String::new, |error| format!(": {}", error.message()))
}
