//! The mistakes.

/// Something that is easily got wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// A tick's snapshot is that of the statement that takes the lock.
    TickSeesBeforeLock,
    /// A span is read above the highest id of the spans before it.
    ReadsIdsAboveLast,
    /// A commit moves a cursor whoever owns its lane and wherever it stands.
    IgnoresEpoch,
    /// A commit does not look for what callers' transactions have settled.
    SettlesTwice,
    /// A cursor passes what is not settled, when something behind it is.
    PassesUnsettled,
    /// A cursor passes a failed message, which gets no tracking row.
    PassesFailed,
    /// A message is settled before an earlier one of its key.
    SettlesOutOfOrder,
    /// A lane does not wait for its failed message.
    GoesOnWhenBlocked,
    /// Any delivery of a message can be settled, not the last alone.
    IgnoresDelivery,
    /// A lease ends a little before its time.
    ExpiresEarly,
    /// Members fetch by the path of the topic's present mode alone.
    ForgetsOldPath,
    /// A subscription begins one message later than it should.
    StartsOffByOne,
    /// A subscription does not wait for publishers that missed it.
    CatchesUpOnce,
    /// A message gets no tracking row for one of the groups.
    SkipsTrackingRow,
    /// Messages are tracked that were published under an older snapshot.
    TracksInOldSnapshots,
    /// Any tracking row of the group may be settled, whoever has its lease.
    IgnoresToken,
    /// The bit of a group is set in records of messages that it did not settle now.
    SettlesForNonMembers,
    /// A settlement in a caller's transaction does not look whether the receipt is still current.
    SettlesUnchecked,
    /// A fold removes settlements without settling.
    FoldsNothing,
    /// A fold settles again what was folded before.
    FoldsTwice,
    /// The open publishers are listed before the sequence is read.
    DecidesBackwards,
    /// Ticks are merged though cursors stand at them.
    MergesTicksInUse,
    /// The watermark does not wait for cursors.
    MarksUnsettled,
    /// What remains of a mode leaves out what a group may yet be given.
    RemainsNothingYet,
    /// What remains of a mode counts what callers' transactions have settled.
    RemainsSettled,
    /// A set of groups is compared over the bytes that both have.
    ComparesSharedBytes,
    /// A stored set of groups is read without the zero bytes at its end.
    ReadsNarrower,
    /// Ids with one missing between them become one range.
    JoinsAcrossGaps,
    /// The run after an id may begin later than right after it.
    RunsAcrossGaps,
    /// A snapshot sees transactions that were in progress.
    SeesOpenTransactions,
    /// A later end is taken for a snapshot that sees more.
    IncludesByEnd,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::TickSeesBeforeLock,
        Self::ReadsIdsAboveLast,
        Self::IgnoresEpoch,
        Self::SettlesTwice,
        Self::PassesUnsettled,
        Self::PassesFailed,
        Self::SettlesOutOfOrder,
        Self::GoesOnWhenBlocked,
        Self::IgnoresDelivery,
        Self::ExpiresEarly,
        Self::ForgetsOldPath,
        Self::StartsOffByOne,
        Self::CatchesUpOnce,
        Self::SkipsTrackingRow,
        Self::TracksInOldSnapshots,
        Self::IgnoresToken,
        Self::SettlesForNonMembers,
        Self::SettlesUnchecked,
        Self::FoldsNothing,
        Self::FoldsTwice,
        Self::DecidesBackwards,
        Self::MergesTicksInUse,
        Self::MarksUnsettled,
        Self::RemainsNothingYet,
        Self::RemainsSettled,
        Self::ComparesSharedBytes,
        Self::ReadsNarrower,
        Self::JoinsAcrossGaps,
        Self::RunsAcrossGaps,
        Self::SeesOpenTransactions,
        Self::IncludesByEnd,
    ];
}
