//! The `fanout` binary, run as a shell would.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers too")]

mod consuming;
mod demo;
mod migrating;
mod mode_changes;
mod publishing;
mod rebasing;
mod subscriptions;
mod support;
mod topics;
mod usage;
