//! SQL functions that the query builder uses.

use diesel::define_sql_function;
use diesel::sql_types::{Bool, Nullable, Text, Timestamptz};

define_sql_function! {
    /// The given time, or the database's.
    #[sql_name = "fanout.time_or_now"]
    fn time_or_now(at: Nullable<Timestamptz>) -> Timestamptz;
}
define_sql_function! {
    /// The value of a setting, NULL when there is none.
    #[sql_name = "pg_catalog.current_setting"]
    fn current_setting(name: Text, missing_ok: Bool) -> Nullable<Text>;
}
define_sql_function! {
    /// Whether transaction ids are stored that this cluster has not come to.
    #[sql_name = "fanout.needs_rebase"]
    fn needs_rebase() -> Bool;
}
define_sql_function! {
    /// Replaces such transaction ids; tells of how many messages.
    #[sql_name = "fanout.rebase"]
    fn rebase() -> BigInt;
}
