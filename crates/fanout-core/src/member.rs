//! A consumer's session with the engine.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Extension, Fetched, MemberName, Outcome, Receipt, Result, Settlement, Subscription};

/// One running consumer of a group: its session with the engine.
///
/// Dropping it is a crash: what it has in hand is delivered again after the lease. All methods may
/// be called concurrently. Conveniences are in [`MemberExt`](crate::MemberExt).
///
/// Every method may fail as [`Backend`](crate::Backend) says, and with
/// [`Closed`](crate::ErrorKind::Closed) after [`leave`](Self::leave).
#[async_trait]
pub trait Member: Debug + Send + Sync + 'static {
    /// The subscription as it was when the member joined or last beat.
    fn subscription(&self) -> Subscription;

    /// What the member is called.
    fn name(&self) -> &MemberName;

    /// Takes up to `limit` messages and leases them to this member; may return fewer or none.
    ///
    /// Never waits for messages. A paused group gets none.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) when `limit` is 0;
    /// [`SubscriptionEnded`](crate::ErrorKind::SubscriptionEnded) when the subscription was
    /// cancelled or died.
    ///
    /// # To ensure correctness
    /// - Only committed messages that the group owes, each once, none under an unexpired lease.
    /// - `attempt` is 1 + failures; `until` is when another member may get the message.
    /// - If nothing else happens, repeated fetches return every message that is due.
    async fn fetch(&self, limit: usize) -> Result<Fetched>;

    /// Says what became of deliveries; returns one outcome for each, in order.
    ///
    /// Errors: [`ForeignReceipt`](crate::ErrorKind::ForeignReceipt) when any receipt belongs to
    /// another topic or group: then nothing was settled.
    ///
    /// # To ensure correctness
    /// - `Applied` and `DeadLettered` are durable: no crash delivers the message again.
    /// - At most one settlement of a message takes effect for a group.
    /// - A stale receipt changes nothing, and does not keep others of the call from taking effect.
    /// - A receipt that stands twice in a call is used once; the second use is stale.
    /// - Under [`Ordering::PerKey`](crate::Ordering::PerKey) the settlements of a call are judged
    ///   in the order of delivery, whatever order they stand in. A message is not settled, failed or
    ///   skipped while an earlier one of its key is neither settled nor parked: `OutOfOrder`.
    /// - Under [`OnFailure::Block`](crate::OnFailure::Block) a failure releases what was delivered
    ///   after the message in its lane: those receipts are stale.
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Outcome>>;

    /// Moves the end of leases to `by` from now, earlier or later; one result for each, in order.
    ///
    /// Errors: [`ForeignReceipt`](crate::ErrorKind::ForeignReceipt) as in `settle`;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when `by` is no valid lease.
    ///
    /// # To ensure correctness
    /// - `Extended { until }` binds as the `until` of a delivery does.
    async fn extend(&self, receipts: &[Receipt], by: Duration) -> Result<Vec<Extension>>;

    /// Gives a sign of life for the group and reads its subscription.
    ///
    /// Errors: [`SubscriptionEnded`](crate::ErrorKind::SubscriptionEnded) when it was cancelled.
    async fn heartbeat(&self) -> Result<Subscription>;

    /// What this member has counted since it joined.
    fn counters(&self) -> MemberCounters;

    /// Ends the session and releases what it has in hand. Leaving again changes nothing.
    async fn leave(&self) -> Result<()>;
}

/// What a member has counted since it joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemberCounters {
    /// Messages that were delivered.
    pub delivered: u64,
    /// Settlements that took effect.
    pub settled: u64,
    /// Settlements that were stale, fenced or out of order.
    pub refused: u64,
    /// Completion records, or cursors, that settlements had to write.
    pub completion_attempts: u64,
    /// Those of them that a concurrent settlement held or had moved at that moment.
    pub completion_conflicts: u64,
}
