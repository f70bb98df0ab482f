//! Explicit transactions, safe against a dropped future.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use fanout_core::{Error, ErrorKind, OpenTx, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::checkout::Checkout;
use crate::error::ResultExt;
use crate::pool::{Pool, no_connection};
use crate::storage::database;

/// A transaction on a connection of the pool. Dropping it closes the connection, so that nothing
/// half done stays open behind the pool's back.
pub(crate) struct Transaction(Option<Checkout>);

impl Transaction {
    /// Begins one. Begin and commit are explicit, because a closure-based transaction hides which
    /// of the two failed.
    pub(crate) async fn begin(pool: &Pool) -> Result<Self> {
        // Held by the guard before BEGIN is sent: dropping this future discards it too.
        let mut checkout = Checkout::new(pool.clone());
        checkout.get().await?;
        let mut transaction = Self(Some(checkout));
        AnsiTransactionManager::begin_transaction(transaction.connection())
            .await
            .reading()?;
        Ok(transaction)
    }

    /// The connection, for statements inside.
    pub(crate) fn connection(&mut self) -> &mut AsyncPgConnection {
        self.checkout().taken()
    }

    /// The same as a checkout that has its connection. Whoever gives it back ends the transaction.
    pub(crate) fn checkout(&mut self) -> &mut Checkout {
        self.0
            .as_mut()
            .expect("present until the transaction ends, which consumes it")
    }

    /// Makes it durable and gives the connection back.
    pub(crate) async fn commit(mut self) -> Result<()> {
        AnsiTransactionManager::commit_transaction(self.connection())
            .await
            .committing()?;
        drop(self.0.take());
        Ok(())
    }

    /// Undoes it and gives the connection back.
    pub(crate) async fn rollback(mut self) -> Result<()> {
        AnsiTransactionManager::rollback_transaction(self.connection())
            .await
            .reading()?;
        drop(self.0.take());
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(checkout) = self.0.take() {
            checkout.discard();
        }
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

/// How many transactions of callers may be open at a time: one connection is left for what the engine does
/// beside them. Settling in a transaction asks the session that fetched the message, and that may be in the
/// middle of a call which needs a connection.
#[derive(Debug)]
pub(crate) struct Room {
    permits: Arc<Semaphore>,
    patience: Option<Duration>,
}

impl Room {
    pub(crate) fn of(pool: &Pool) -> Self {
        let (connections, patience) = pool.limits();
        let permits =
            connections.map_or(Semaphore::MAX_PERMITS, |most| most.saturating_sub(1).max(1));
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            patience,
        }
    }

    async fn take(&self) -> Result<OwnedSemaphorePermit> {
        let permit = self.permits.clone().acquire_owned();
        let permit = match self.patience {
            Some(patience) => tokio::time::timeout(patience, permit).await,
            None => Ok(permit.await),
        };
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Error::new(ErrorKind::Closed, "pool is closed")),
            Err(_) => Err(no_connection()),
        }
    }
}

/// A transaction of a caller.
#[derive(Debug)]
pub(crate) struct CallersTransaction {
    transaction: Transaction,
    _permit: OwnedSemaphorePermit,
}

impl CallersTransaction {
    pub(crate) async fn begin(pool: &Pool, room: &Room) -> Result<Self> {
        let permit = room.take().await?;
        Ok(Self {
            transaction: Transaction::begin(pool).await?,
            _permit: permit,
        })
    }
}

#[async_trait]
impl OpenTx for CallersTransaction {
    type Tx = AsyncPgConnection;

    fn tx(&mut self) -> &mut AsyncPgConnection {
        self.transaction.connection()
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        // Postgres answers COMMIT of a failed transaction with ROLLBACK, and the driver calls that
        // success. Callers may have passed over the failure; a statement finds it out.
        database::check_not_failed(self.transaction.connection()).await?;
        self.transaction.commit().await
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        self.transaction.rollback().await
    }
}
