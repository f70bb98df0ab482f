//! What the runs ran on.

use super::text::{optional, plain, text};
use crate::report::Environment;

pub(crate) fn environment(environment: &Environment) -> String {
    let mut table = plain();
    table.add_row(["fanout", environment.fanout_version]);
    table.add_row(["place", environment.place]);
    table.add_row(["cores", &environment.cores.to_string()]);
    table.add_row([
        "load before",
        &optional(environment.load, |load| format!("{load:.2}")),
    ]);
    for (name, value) in &environment.server {
        table.add_row([name, value]);
    }
    text(table)
}
