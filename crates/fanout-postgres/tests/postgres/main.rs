//! Tests of the Postgres engine, on throwaway databases.

mod smoke;
mod support;
