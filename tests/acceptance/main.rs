//! Acceptance tests that need more than one crate, by their ids.

mod c1_watermark;
mod f1_at_least_once;
mod f2_per_key_order;
mod f3_effectively_once;
mod f5_required_set;
mod k1_completion_conflicts;
mod k2_offset_conflicts;
mod late_commits;
mod support;
mod x1_mode_changes;
