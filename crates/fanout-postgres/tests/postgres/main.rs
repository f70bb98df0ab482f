//! Tests of the Postgres engine, on throwaway databases.

mod conformance;
mod connections;
mod durability;
mod isolation;
mod m1_migrations;
mod plans;
mod publishing;
mod schema_rules;
mod support;
