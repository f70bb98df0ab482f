//! Upkeep.

use serde::Serialize;

/// What one round of maintenance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MaintenanceReport {
    /// Leaves of logs that were made ahead of need.
    pub leaves_created: u64,
    /// Settlements of callers' transactions that were folded into the accounting.
    pub settlements_folded: u64,
    /// Rows of ended subscriptions that were removed.
    pub rows_reaped: u64,
    /// Subscriptions that now have every message that they were owed when they began.
    pub subscriptions_caught_up: u64,
    /// Ticks that were taken.
    pub ticks_taken: u64,
    /// Ticks that no cursor needed and that were merged into later ones.
    pub ticks_merged: u64,
    /// Cursors of lanes without an owner that were moved on.
    pub cursors_advanced: u64,
    /// Watermarks that moved.
    pub watermarks_moved: u64,
}

impl MaintenanceReport {
    /// Whether there was anything to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for MaintenanceReport {
    fn add_assign(&mut self, other: Self) {
        self.leaves_created += other.leaves_created;
        self.settlements_folded += other.settlements_folded;
        self.rows_reaped += other.rows_reaped;
        self.subscriptions_caught_up += other.subscriptions_caught_up;
        self.ticks_taken += other.ticks_taken;
        self.ticks_merged += other.ticks_merged;
        self.cursors_advanced += other.cursors_advanced;
        self.watermarks_moved += other.watermarks_moved;
    }
}
