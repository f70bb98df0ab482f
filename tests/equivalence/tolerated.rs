//! Where an engine is known to deviate from the contract. Each is to be mended, then set to false.

/// Postgres calls a receipt of another incarnation of the member's own group foreign; it is stale.
pub(crate) const OTHER_INCARNATIONS_ARE_FOREIGN: bool = false;

/// Postgres deletes a topic, unforced, whose only unsettled messages are those that a subscription
/// lags behind with.
pub(crate) const LAGGING_MESSAGES_ARE_LOST_WITH_THE_TOPIC: bool = false;
