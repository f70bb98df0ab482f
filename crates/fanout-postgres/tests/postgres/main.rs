//! Tests of the Postgres engine, on throwaway databases.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commits;
mod conformance;
mod connections;
mod durability;
mod isolation;
mod lock_order;
mod long_transactions;
mod m1_migrations;
mod mode_changes;
mod plans;
mod publishing;
mod readers;
mod rebasing;
mod returning_members;
mod schema_rules;
mod sharing;
mod spans;
mod support;
mod ticks;
mod transactions;
