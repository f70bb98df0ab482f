use super::Ids;

/// The group's cursor and lane lease: rows of `outbox_subscription_offsets` and `outbox_lane_leases`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Cursor {
    pub(crate) tick: u8,
    pub(crate) through: u8,
    pub(crate) last_id: u8,
    pub(crate) ahead: Ids,
    /// Messages that failed and block the lane, or did.
    pub(crate) failures: Ids,
    pub(crate) blocked: bool,
    pub(crate) epoch: u8,
    /// How often the owner changed, whatever the epoch says.
    pub(crate) reign: u8,
    pub(crate) version: u8,
    pub(crate) owner: Option<u8>,
    /// The lease on the lane has ended.
    pub(crate) expired: bool,
}

/// What one lane's `commit_cursors` is to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Update {
    pub(crate) epoch: u8,
    pub(crate) reign: u8,
    pub(crate) version: u8,
    pub(crate) tick: u8,
    pub(crate) through: u8,
    pub(crate) last_id: u8,
    pub(crate) ahead: Ids,
    pub(crate) failures: Ids,
    /// The failure that blocks the lane.
    pub(crate) blocks: Option<u8>,
    /// The failure that is parked.
    pub(crate) parks: Option<u8>,
    /// The message that is settled.
    pub(crate) settles: Option<u8>,
    /// Settlements of callers' transactions that the cursor covers from now on.
    pub(crate) folds: Ids,
    /// The statement's snapshot has a settlement that the member does not know of.
    pub(crate) refused: bool,
    /// What callers' transactions had settled by the statement's snapshot: for judging the outcome.
    pub(crate) in_tx_before: Ids,
    /// The delivery that it settles or fails.
    pub(crate) serial: u8,
}

impl Update {
    /// The message whose receipt is used.
    pub(crate) fn message(&self) -> Option<u8> {
        self.settles.or(self.parks).or(self.blocks)
    }
}
