//! Acceptance tests that need more than one crate, by their ids.

mod k1_completion_conflicts;
