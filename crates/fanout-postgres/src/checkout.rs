//! A connection that is taken when it is needed.

use diesel_async::AsyncPgConnection;
use fanout_core::Result;

use crate::pool::{Connection, Pool};

/// A connection of the pool, taken at its first use. Whoever is about to wait for work that others do on
/// connections of their own gives it back first, so that a small pool cannot block itself.
pub(crate) struct Checkout {
    pool: Pool,
    connection: Option<Connection>,
}

impl Checkout {
    pub(crate) const fn new(pool: Pool) -> Self {
        Self {
            pool,
            connection: None,
        }
    }

    /// The connection.
    pub(crate) async fn get(&mut self) -> Result<&mut AsyncPgConnection> {
        if self.connection.is_none() {
            self.connection = Some(self.pool.get().await?);
        }
        Ok(self
            .connection
            .as_mut()
            .expect("taken just now, if not before"))
    }

    /// The connection, which was taken before.
    pub(crate) fn taken(&mut self) -> &mut AsyncPgConnection {
        self.connection
            .as_mut()
            .expect("a transaction keeps the connection that it began on")
    }

    /// Closes the connection instead of giving it back, if it was taken.
    pub(crate) fn discard(self) {
        if let Some(connection) = self.connection {
            connection.discard();
        }
    }

    /// Gives the connection back, if it was taken.
    pub(crate) fn give_back(&mut self) {
        self.connection = None;
    }
}
