//! Where connections come from.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{PoolError, Timeouts};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool as diesel_deadpool,
};
use fanout_core::{Error, ErrorKind, Result};

use crate::connect::{check_url, establish, unavailable};

/// A pool of connections that the engine runs on.
///
/// Nothing relies on the state of a session, so the pool may be shared with the application, and a
/// transaction pooler may stand behind it.
#[derive(Clone)]
#[non_exhaustive]
pub enum Pool {
    /// deadpool's: what the engine makes for itself.
    Deadpool(diesel_deadpool::Pool<AsyncPgConnection>),
    /// bb8's.
    #[cfg(feature = "bb8")]
    Bb8(diesel_async::pooled_connection::bb8::Pool<AsyncPgConnection>),
}

impl From<diesel_deadpool::Pool<AsyncPgConnection>> for Pool {
    fn from(pool: diesel_deadpool::Pool<AsyncPgConnection>) -> Self {
        Self::Deadpool(pool)
    }
}

#[cfg(feature = "bb8")]
impl From<diesel_async::pooled_connection::bb8::Pool<AsyncPgConnection>> for Pool {
    fn from(pool: diesel_async::pooled_connection::bb8::Pool<AsyncPgConnection>) -> Self {
        Self::Bb8(pool)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deadpool(pool) => f.debug_tuple("Deadpool").field(&pool.status()).finish(),
            #[cfg(feature = "bb8")]
            Self::Bb8(pool) => f.debug_tuple("Bb8").field(&pool.state()).finish(),
        }
    }
}

impl Pool {
    /// A deadpool whose checkouts issue no statement.
    pub(crate) fn deadpool(url: &str, size: usize, acquire_timeout: Duration) -> Result<Self> {
        check_url(url)?;
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(|url| Box::pin(establish(url)));
        config.recycling_method = RecyclingMethod::Fast;
        let manager = AsyncDieselConnectionManager::new_with_config(url, config);
        let timeouts = Timeouts {
            wait: Some(acquire_timeout),
            create: Some(acquire_timeout),
            recycle: Some(acquire_timeout),
        };
        diesel_deadpool::Pool::builder(manager)
            .max_size(size)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .map(Self::Deadpool)
            .map_err(|error| {
                Error::new(ErrorKind::InvalidInput, "pool cannot be built").with_source(error)
            })
    }

    /// A connection, in no transaction.
    pub(crate) async fn get(&self) -> Result<Connection> {
        match self {
            Self::Deadpool(pool) => match pool.get().await {
                Ok(connection) => Ok(Connection(Some(Pooled::Deadpool(connection)))),
                Err(PoolError::Closed) => Err(Error::new(ErrorKind::Closed, "pool is closed")),
                Err(PoolError::Timeout(_)) => Err(no_connection()),
                Err(PoolError::Backend(error)) => Err(unavailable(error)),
                Err(error) => Err(unavailable(error)),
            },
            #[cfg(feature = "bb8")]
            Self::Bb8(pool) => match pool.get_owned().await {
                Ok(connection) => Ok(Connection(Some(Pooled::Bb8(connection)))),
                Err(bb8::RunError::TimedOut) => Err(no_connection()),
                Err(error) => Err(unavailable(error)),
            },
        }
    }

    /// Most connections at a time, and how long a call waits for one; none where the pool does not tell.
    pub(crate) fn limits(&self) -> (Option<usize>, Option<Duration>) {
        match self {
            Self::Deadpool(pool) => (Some(pool.status().max_size), pool.timeouts().wait),
            #[cfg(feature = "bb8")]
            Self::Bb8(_) => (None, None),
        }
    }

    /// Gives out no connection any more. (bb8's pools cannot be closed; the engine refuses calls.)
    pub(crate) fn close(&self) {
        match self {
            Self::Deadpool(pool) => pool.close(),
            #[cfg(feature = "bb8")]
            Self::Bb8(_) => {}
        }
    }
}

pub(crate) fn no_connection() -> Error {
    Error::new(ErrorKind::Unavailable, "no connection came free in time")
}

enum Pooled {
    Deadpool(diesel_deadpool::Object<AsyncPgConnection>),
    #[cfg(feature = "bb8")]
    Bb8(bb8::PooledConnection<'static, AsyncDieselConnectionManager<AsyncPgConnection>>),
}

/// A connection out of the pool; goes back when it is dropped.
pub(crate) struct Connection(Option<Pooled>);

impl Connection {
    /// Closes the connection instead of giving it back: the server rolls back what is open.
    pub(crate) fn discard(mut self) {
        match self.0.take() {
            Some(Pooled::Deadpool(object)) => drop(deadpool::managed::Object::take(object)),
            // bb8 asks a returned connection whether it is in a transaction, and drops it then.
            #[cfg(feature = "bb8")]
            Some(Pooled::Bb8(object)) => drop(object),
            None => {}
        }
    }
}

impl Deref for Connection {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        match self
            .0
            .as_ref()
            .expect("present until it is discarded, which consumes it")
        {
            Pooled::Deadpool(object) => object,
            #[cfg(feature = "bb8")]
            Pooled::Bb8(object) => object,
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        match self
            .0
            .as_mut()
            .expect("present until it is discarded, which consumes it")
        {
            Pooled::Deadpool(object) => object,
            #[cfg(feature = "bb8")]
            Pooled::Bb8(object) => object,
        }
    }
}
