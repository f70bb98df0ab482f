//! The consumer runtime.
//!
//! ```text
//!            ┌────────────── one session per member ──────────────┐
//! fetch ───► │ queue ──► handlers (tasks) ──► verdicts ──► settle │
//!            │              in hand: leases ──► extend            │
//!            └────────────── heartbeat (task of its own) ─────────┘
//! ```
//!
//! Fetching, handling, settling and extending overlap; the session is the one place that knows what
//! is in hand. In a group that wants order the queue tells whose turn it is, and what is out of turn
//! is given back.

mod call;
mod counters;
mod handler;
mod handlers;
mod heartbeat;
mod in_hand;
mod queue;
mod runtime;
mod session;
mod settings;
mod turns;

pub use counters::ConsumerCounters;
pub use handler::{BoxError, Handler, HandlerFn};
pub use runtime::{Consumer, ConsumerHandle};
