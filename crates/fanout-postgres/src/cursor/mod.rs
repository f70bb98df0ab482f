//! Reading the log by cursor.
//!
//! ```text
//!  member ── OffsetWatermark ── Session ── LaneState (one per lane owned: what is in hand, what is settled)
//!                                  │
//!                                 Hub, one per topic and process
//!                    looks · ticks · commits, of all groups together
//!                                  │
//!                          SpanCache of Blocks: each span of the log is read once
//! ```

mod batcher;
mod block;
mod hub;
mod judge;
mod lane_state;
mod log_row;
mod session;
mod sessions;
mod span_cache;
mod tick;

pub(crate) use hub::{Hub, Look, LookRequest};
pub(crate) use lane_state::Handed;
pub(crate) use log_row::LogRow;
pub(crate) use session::Session;
pub(crate) use sessions::Sessions;
pub use span_cache::SpanCacheStats;
pub(crate) use tick::Tick;
