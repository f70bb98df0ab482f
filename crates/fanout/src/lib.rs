#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod consumer;
mod maintenance;
mod migration;
mod pace;
mod stop;

pub use consumer::{BoxError, Consumer, ConsumerCounters, ConsumerHandle, Handler, HandlerFn};
pub use fanout_core::*;
#[cfg(feature = "memory")]
pub use fanout_memory::{MemoryBackend, MemoryBuilder, MemoryTx};
#[cfg(feature = "postgres")]
pub use fanout_postgres::{
    MigrationStatus, Migrator, Pool, PostgresBackend, PostgresBuilder, diesel_async,
};
pub use maintenance::{MaintenanceCounters, MaintenanceHandle, MaintenanceRunner};
pub use migration::{Migration, MigrationProgress};
