//! E1: engines that see the same history owe, deliver and settle the same.
//!
//! The memory engine and the Postgres engine are each compared with the acceptor of the contract
//! after every op, and all of them, on all terms, with each other when the history is drained.
//!
//! `FANOUT_FULL=1` runs ten times as many histories; `FANOUT_SEED` repeats a run. Seeds that failed
//! once are kept in `regressions/` and tried first.

mod e1_memory;
mod e1_named;
mod e1_planted;
mod e1_postgres;
mod in_modes;
mod named;
mod planted;
mod postgres;
