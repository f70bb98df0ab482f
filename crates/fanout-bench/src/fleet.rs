//! The engines that stand for processes.

use std::sync::Arc;

use fanout_core::Backend;
use fanout_postgres::PostgresBackend;

use crate::failure::Result;

/// Engines on one database, each with a pool of its own.
#[derive(Debug)]
pub(crate) struct Fleet(Vec<PostgresBackend>);

impl Fleet {
    pub(crate) async fn open(url: &str, processes: u32, connections: u32) -> Result<Self> {
        let mut engines = Vec::new();
        for _ in 0..processes {
            engines.push(open(url, connections).await?);
        }
        Ok(Self(engines))
    }

    /// The `number`th, in turns.
    pub(crate) fn engine(&self, number: u32) -> Arc<dyn Backend> {
        Arc::new(self.0[number as usize % self.0.len()].clone())
    }

    pub(crate) fn close(&self) {
        for engine in &self.0 {
            engine.close();
        }
    }
}

/// One engine.
pub(crate) async fn open(url: &str, connections: u32) -> Result<PostgresBackend> {
    Ok(PostgresBackend::builder(url)
        .pool_size(connections as usize)
        .connect()
        .await?)
}
