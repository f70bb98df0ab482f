//! How to open the engine.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Clock, Error, ErrorKind, Result};

use crate::PostgresBackend;
use crate::paths::Rest;
use crate::pool::Pool;
use crate::storage;

/// Opens a [`PostgresBackend`].
#[derive(Debug)]
#[must_use]
pub struct PostgresBuilder {
    url: String,
    pool_size: usize,
    span_cache_bytes: usize,
    acquire_timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
    rest: Rest,
}

impl PostgresBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            pool_size: 16,
            span_cache_bytes: 64 << 20,
            acquire_timeout: Duration::from_secs(30),
            clock: None,
            rest: Rest::default(),
        }
    }

    /// Most connections at a time, at least 1; with two or more one is kept for what the engine does beside
    /// callers' transactions, without which deliveries by cursor cannot be settled in them. Default: 16.
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// How much memory the messages of one topic may take that several groups, consumed through this
    /// handle, read by cursor: the database is asked once for all of them. In bytes, beside what is in
    /// hand. Default: 64 MiB.
    pub fn span_cache_bytes(mut self, bytes: usize) -> Self {
        self.span_cache_bytes = bytes;
        self
    }

    /// How long a call waits for a connection. Default: 30 s.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Takes time from this clock instead of the database's: for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// For how long an unordered group on a topic that counts references leaves its cursors alone, once they
    /// have found nothing for so long: for tests. Default: 1 s after 1 s.
    #[doc(hidden)]
    pub fn rest(mut self, after: Duration, length: Duration) -> Self {
        self.rest = Rest { after, length };
        self
    }

    /// Opens the engine on a pool of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the database cannot be reached;
    /// [`ErrorKind::SchemaMismatch`] when its schema is missing, older or newer than this library;
    /// [`ErrorKind::NeedsRebase`] when it was restored from a dump of another cluster, until
    /// [`Migrator::rebase`](crate::Migrator::rebase);
    /// [`ErrorKind::IsolationLevel`] when the database's default is not READ COMMITTED;
    /// [`ErrorKind::InvalidInput`] for a pool of no connections.
    pub async fn connect(self) -> Result<PostgresBackend> {
        if self.pool_size == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "pool_size must be 1 or more",
            ));
        }
        let pool = Pool::deadpool(&self.url, self.pool_size, self.acquire_timeout)?;
        self.open(pool).await
    }

    /// Opens the engine on a pool of the application's. The pool's own settings count; the URL,
    /// the size and the timeout of this builder do not.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, pool: impl Into<Pool> + Send) -> Result<PostgresBackend> {
        self.open(pool.into()).await
    }

    async fn open(self, pool: Pool) -> Result<PostgresBackend> {
        let mut connection = pool.get().await?;
        storage::database::check_isolation(&mut connection).await?;
        storage::ledger::check(&mut connection).await?;
        storage::database::check_transaction_ids(&mut connection).await?;
        drop(connection);
        Ok(PostgresBackend::open(
            pool,
            self.clock,
            self.span_cache_bytes,
            self.rest,
        ))
    }
}
