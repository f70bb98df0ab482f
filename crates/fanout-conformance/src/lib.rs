#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod families;
mod harness;
mod stage;
mod suite;

pub use harness::{Harness, Subject};
pub use suite::cases;
