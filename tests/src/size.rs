//! How much the tests do.

/// Whether the full sizes are asked for, by `FANOUT_FULL=1`, and not the everyday ones.
pub fn full() -> bool {
    std::env::var_os("FANOUT_FULL").is_some_and(|full| full == "1")
}
