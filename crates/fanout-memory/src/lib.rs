#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod backend;
mod builder;
mod capacity;
mod dead_letters;
mod ledger;
mod log;
mod member;
mod open_tx;
mod owed;
mod pledging;
mod publishing;
mod refusal;
mod settling;
mod shared;
mod state;
mod subscription_state;
mod topic_state;
mod transaction;
mod transactional;

pub use backend::MemoryBackend;
pub use builder::{DEFAULT_MAX_BYTES, DEFAULT_SEED, MemoryBuilder};
pub use transaction::MemoryTx;
