//! A transaction that is held open.

use tokio_postgres::Client;

use super::connect;
use crate::failure::Result;
use crate::hold::Hold;

/// A transaction that is held open beside the load. It leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Held(Client);

impl Held {
    pub(crate) async fn open(url: &str, hold: Hold) -> Result<Self> {
        let client = connect(url).await?;
        client
            .batch_execute(match hold {
                Hold::Reader => {
                    "BEGIN ISOLATION LEVEL REPEATABLE READ;
                    SET LOCAL idle_in_transaction_session_timeout = 0;
                    SELECT count(*) FROM pg_class"
                }
                Hold::Writer => {
                    "BEGIN;
                    SET LOCAL idle_in_transaction_session_timeout = 0;
                    CREATE TABLE fanout_bench_held (id int);
                    INSERT INTO fanout_bench_held VALUES (1)"
                }
            })
            .await?;
        Ok(Self(client))
    }

    /// Ends it; fails if it has not been open all the time.
    pub(crate) async fn release(self) -> Result<()> {
        // Anything but a rollback fails when the transaction is broken, and this when the session is.
        Ok(self.0.batch_execute("SELECT 1; ROLLBACK").await?)
    }
}
