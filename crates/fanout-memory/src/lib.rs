#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod backend;
mod builder;
mod capacity;
mod dead_letters;
mod entry;
mod group_indexes;
mod ledger;
mod log;
mod member;
mod observing;
mod open_tx;
mod owed;
mod path;
mod place;
mod pledging;
mod publishing;
mod reading;
mod refusal;
mod settling;
mod shared;
mod state;
mod subscribing;
mod subscription_state;
mod topic_state;
mod transaction;
mod transactional;

pub use backend::MemoryBackend;
pub use builder::{DEFAULT_MAX_BYTES, DEFAULT_SEED, MemoryBuilder};
pub use transaction::MemoryTx;
