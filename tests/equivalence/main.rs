//! E1: engines that see the same history owe, deliver and settle the same.
//!
//! A history is a list of [ops](op::Op), made and shrunk by proptest. The [driver] does it to one
//! engine on some [terms]: with reference counting or by reading offsets; the [acceptor] rejects
//! every answer that the contract does not allow. The memory engine and the Postgres engine are thus
//! each compared with the acceptor after every op, and all of them, in both modes, with each other
//! when the history is drained.
//!
//! `FANOUT_FULL=1` runs ten times as many histories; `FANOUT_SEED` repeats a run. Seeds that failed
//! once are kept in `regressions/` and tried first.

mod acceptor;
mod campaign;
mod coverage;
mod driver;
mod e1_memory;
mod e1_named;
mod e1_planted;
mod e1_postgres;
mod generate;
mod handler;
mod history;
mod minimise;
mod named;
mod op;
mod planted;
mod published;
mod reader;
mod subject;
mod terms;
