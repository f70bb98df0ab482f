//! Every promised behaviour.

use std::sync::Arc;

use async_trait::async_trait;
use fanout_conformance::{Harness, Subject};
use fanout_core::ManualClock;
use fanout_postgres::PostgresBackend;

use crate::support;

struct Postgres;

#[async_trait]
impl Harness for Postgres {
    type Backend = PostgresBackend;

    async fn subject(&self) -> Subject<PostgresBackend> {
        let database = support::migrated().await;
        let clock = Arc::new(ManualClock::default());
        let backend = PostgresBackend::builder(database.url())
            // Room for the transactions that cases hold open, and for calls beside them.
            .pool_size(32)
            .clock(clock.clone())
            .connect()
            .await
            .expect("the engine opens a migrated database");
        Subject::new(backend, clock).guarded_by(database)
    }

    async fn close(&self, backend: &PostgresBackend) {
        backend.close();
    }
}

fanout_conformance::suite!(Postgres);
