//! The consumer runtime and the maintenance runner, on the memory engine.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers too")]

mod ending;
mod failing;
mod faults;
mod faulty;
mod leases;
mod life;
mod maintenance;
mod migration;
mod ordering;
mod support;
mod witness;
mod working;
