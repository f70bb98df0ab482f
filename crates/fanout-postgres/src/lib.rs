#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod backend;
mod builder;
mod checkout;
mod claim_upkeep;
mod connect;
mod counters;
mod cursor;
mod error;
mod floor;
mod held;
mod known_subscription;
mod maintenance;
mod member;
mod migrator;
mod offset_watermark;
mod paths;
mod pool;
mod reference_counting;
mod schema;
mod settlement_plan;
mod storage;
mod subscription_control;
mod topic_control;
mod transaction;
mod transactional;

pub use backend::PostgresBackend;
pub use builder::PostgresBuilder;
pub use cursor::SpanCacheStats;
pub use diesel_async;
pub use migrator::{MigrationStatus, Migrator};
pub use pool::Pool;
