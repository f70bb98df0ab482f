//! Tests of throwaway clusters and databases, which start real servers.

// Only within `#[test]` does clippy allow it by itself.
#![allow(clippy::unwrap_used)]

mod child;
mod crash;
mod databases;
mod given;
mod lifetime;
mod locating;
mod template;
