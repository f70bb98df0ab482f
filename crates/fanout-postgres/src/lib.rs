#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

/// Whether a known mistake is in force, for tests that show that it is caught; `false` in every build
/// without `--cfg fanout_planted`.
#[cfg(fanout_planted)]
macro_rules! planted {
    ($mistake:ident) => {
        crate::planted::is_in_force(crate::planted::Mistake::$mistake)
    };
}
#[cfg(not(fanout_planted))]
macro_rules! planted {
    ($mistake:ident) => {
        false
    };
}

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
mod maintenance;
mod member;
mod migrator;
mod offset_watermark;
mod paths;
#[cfg(fanout_planted)]
pub mod planted;
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
