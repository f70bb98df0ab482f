//! Publishing and settling inside the caller's transaction.

use std::fmt::Debug;
use std::future::Future;

use async_trait::async_trait;

use crate::{Backend, Error, MessageId, NewMessage, Receipt, Result, TopicName};

/// A transaction that the engine has begun. Dropping it rolls back.
#[async_trait]
pub trait OpenTx: Debug + Send {
    /// What calls inside the transaction take.
    type Tx: Send + 'static;

    /// The transaction, for calls inside it.
    fn tx(&mut self) -> &mut Self::Tx;

    /// Makes it durable.
    ///
    /// Errors: [`Unknown`](crate::ErrorKind::Unknown) when the connection broke around the commit;
    /// any other means that nothing of it stands.
    async fn commit(self: Box<Self>) -> Result<()>;

    /// Undoes it.
    async fn rollback(self: Box<Self>) -> Result<()>;
}

/// Engines that publish and settle inside the caller's transaction.
///
/// What is published or settled in a transaction takes effect when, and only if, it commits.
#[async_trait]
pub trait Transactional: Backend {
    /// The caller's transaction: for Postgres, a diesel-async connection inside one.
    type Tx: Send + 'static;

    /// Publishes a batch in the caller's transaction. Errors as [`Backend::publish`], and
    /// [`IsolationLevel`](crate::ErrorKind::IsolationLevel),
    /// [`LeafMissing`](crate::ErrorKind::LeafMissing).
    ///
    /// # To ensure correctness
    /// - Nothing is delivered before the commit; nothing remains after a rollback, also to a
    ///   savepoint.
    /// - No other group's delivery waits for the transaction.
    async fn publish_in(
        &self,
        tx: &mut Self::Tx,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<MessageId>>;

    /// Settles deliveries of one group as handled in the caller's transaction: all, or none.
    ///
    /// Errors: [`StaleReceipt`](crate::ErrorKind::StaleReceipt) when any is stale,
    /// [`OutOfOrder`](crate::ErrorKind::OutOfOrder) when order is kept per key and an earlier message
    /// of a key is neither settled, nor parked, nor settled in this transaction,
    /// [`Conflict`](crate::ErrorKind::Conflict) when another transaction settles one of them,
    /// [`ForeignReceipt`](crate::ErrorKind::ForeignReceipt) when they are not of one topic and
    /// group. After any of them the caller must roll back.
    ///
    /// # To ensure correctness
    /// - Of any number of transactions that settle a message for a group at most one commits.
    /// - Until the commit no other group, and no call on another message, waits for it; after a
    ///   rollback everything is as before.
    async fn settle_in(&self, tx: &mut Self::Tx, receipts: &[Receipt]) -> Result<()>;

    /// Begins a transaction on a connection of the engine's own. See also
    /// [`TransactionalExt::with_tx`].
    async fn begin(&self) -> Result<Box<dyn OpenTx<Tx = Self::Tx>>>;
}

/// An async closure whose future can be sent between threads: `async |tx| { … }` is one.
///
/// Stable Rust cannot yet bound the future of an `AsyncFnOnce`; this names it, so that it can be
/// bounded. Implemented for every fitting closure; nobody needs to implement it.
pub trait AsyncWork<T, R>:
    AsyncFnOnce(T) -> R + FnOnce(T) -> <Self as AsyncWork<T, R>>::Future
{
    /// What the closure returns.
    type Future: Future<Output = R>;
}

impl<W, T, F, R> AsyncWork<T, R> for W
where
    W: AsyncFnOnce(T) -> R + FnOnce(T) -> F,
    F: Future<Output = R>,
{
    type Future = F;
}

/// Conveniences over [`Transactional`], for every engine.
pub trait TransactionalExt: Transactional {
    /// Runs `work` in a transaction: commits when it returns `Ok`, rolls back when it returns
    /// `Err` or panics, or when the future is dropped.
    ///
    /// Errors: those of `work`; those of [`OpenTx::commit`].
    ///
    /// ```
    /// # use fanout_core::*;
    /// # async fn example<B: Transactional>(backend: &B, topic: &TopicName) -> Result<MessageId> {
    /// backend
    ///     .with_tx(async |tx| {
    ///         let ids = backend.publish_in(tx, topic, vec![NewMessage::new("hello")]).await?;
    ///         Ok::<_, Error>(ids[0])
    ///     })
    ///     .await
    /// # }
    /// ```
    fn with_tx<'a, T, E, W>(
        &'a self,
        work: W,
    ) -> impl Future<Output = std::result::Result<T, E>> + Send + 'a
    where
        for<'t> W: AsyncFnOnce(&'t mut Self::Tx) -> std::result::Result<T, E>
            + AsyncWork<&'t mut Self::Tx, std::result::Result<T, E>, Future: Send>
            + Send
            + 'a,
        T: Send + 'a,
        E: From<Error> + Send + 'a,
    {
        async move {
            let mut open = self.begin().await?;
            match work(open.tx()).await {
                Ok(value) => {
                    open.commit().await?;
                    Ok(value)
                }
                Err(error) => {
                    // The work's own error says more than that of a rollback, and a connection
                    // that cannot roll back is discarded.
                    let _ = open.rollback().await;
                    Err(error)
                }
            }
        }
    }
}

impl<B: Transactional + ?Sized> TransactionalExt for B {}
