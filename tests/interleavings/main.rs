//! Every interleaving of short scripts on real connections, each checked against the promises.
//!
//! A [script] is a few [steps](step) of each [session]; [schedule] lists the orders in which they can be
//! taken, [runner] takes them, [blocked] asks the database who waits for whom, and [checks] judge what
//! became of it. [planted] shows that they can fail.

mod blocked;
mod campaign;
mod checks;
mod drain;
mod facts;
mod families;
mod history;
mod planted;
mod runner;
mod schedule;
mod script;
mod session;
mod sight;
mod sql;
mod stage;
mod step;
mod story;
