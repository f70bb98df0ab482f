#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod families;
mod harness;
mod stage;
mod suite;

#[doc(hidden)]
pub use fanout_core::CompletionMode;
pub use harness::{Harness, Subject};
pub use suite::cases;
