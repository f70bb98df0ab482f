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
