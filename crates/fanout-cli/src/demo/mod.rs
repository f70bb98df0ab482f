//! `fanout demo`: the main job, with its accounting proved, on a topic of each mode.
//!
//! ```text
//! publisher ──► transactions, some rolled back ──► topic ──► groups of differing behaviour
//!     │                                                        │
//!     └── record: committed, rolled back      record: seen, settled
//!                         └────────► proof ◄───────┘ ◄──── the engine's own accounting
//! ```

mod args;
mod behaviour;
mod board;
mod books;
mod cast;
mod chance;
mod engines;
mod group;
mod plan;
mod proof;
mod publisher;
mod show;
mod sightings;

pub(crate) use args::Demo;
