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
//! is in hand.

mod call;
mod counters;
mod handler;
mod handlers;
mod heartbeat;
mod in_hand;
mod runtime;
mod session;
mod settings;

pub use counters::ConsumerCounters;
pub use handler::{BoxError, Handler, HandlerFn};
pub use runtime::{Consumer, ConsumerHandle};
