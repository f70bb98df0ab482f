//! The SQL of these tests.

pub(crate) const PREPARE: &str = include_str!("sql/prepare.sql");
pub(crate) const BLOCKED: &str = include_str!("sql/blocked.sql");
pub(crate) const IN_TRANSACTION: &str = include_str!("sql/in_transaction.sql");
pub(crate) const RENEW: &str = "SELECT inter.renew($1, $2)";
pub(crate) const FACTS: &str = "SELECT inter.facts($1)";
pub(crate) const DEFINITION: &str = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'fanout'::regnamespace AND proname = $1";

/// So that a deadlock costs little.
pub(crate) fn shorten_deadlocks(database: &str) -> String {
    format!("ALTER DATABASE \"{database}\" SET deadlock_timeout = '20ms'")
}

/// What the tables of a topic gather while it is made as new again and again.
pub(crate) fn sweep() -> &'static str {
    "VACUUM"
}

pub(crate) fn take_tick(topic: i32, wait: bool) -> String {
    format!("SELECT fanout.tick_{topic}({wait}, '0')")
}

/// Above READ COMMITTED the snapshot is taken by the first query.
pub(crate) fn isolate(level: &str) -> String {
    format!("SET TRANSACTION ISOLATION LEVEL {level}; SELECT 1")
}
