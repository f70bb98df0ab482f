macro_rules! mistakes {
    ($($(#[$doc:meta])+ $mistake:ident,)+) => {
        /// What is wrong with the model. It is of this test alone: nothing of it is in the engine.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Mistake {
            /// Nothing: no counterexample may be found.
            None,
            $($(#[$doc])+ $mistake,)+
        }

        impl Mistake {
            pub(crate) const ALL: &[Self] = &[$(Self::$mistake),+];
        }
    };
}

mistakes! {
    /// A tick takes its lock and its snapshot in one statement, so the snapshot is older than the lock.
    TickInOneStatement,
    /// A tick goes on from the newest tick that it read before it had the lock.
    TickReadsNewestBeforeLock,
    /// The publishers are listed before the sequence is read.
    DecidedInWrongOrder,
    /// A publisher draws its id before it takes the publish lock.
    PublishLockAfterId,
    /// A tick reads the decided id after its snapshot.
    TickReadsDecidedLate,
    /// Ticks are merged though the cursor stands at them.
    MergesTickOfCursor,
    /// Ticks are merged though a member may yet move the cursor there.
    MergesTickOfMember,
    /// Messages are read by `id > last`.
    ReadsAboveLast,
    /// A span that is extended does not say anew what is settled.
    ExtendsWithoutRestating,
    /// A member that reads a cursor again, after a commit that it knows no end of, lets that commit happen later.
    RereadsWithoutFence,
    /// A span from the past is not finished before the next.
    ForgetsPromisedSpan,
    /// Commits of cursors do not compare epochs, nor versions, which are compared within an epoch.
    NoEpochCheck,
    /// Commits of cursors compare epochs alone.
    NoVersionCheck,
    /// Taking a lane does not raise its epoch.
    TakesWithoutEpoch,
    /// A lane is taken though its lease has not ended.
    TakesLeased,
    /// The number of a delivery is not compared.
    IgnoresDelivery,
    /// The token of a tracking row is not compared.
    IgnoresToken,
    /// A claim takes messages whose lease has not ended.
    ClaimsLeased,
    /// The cursor passes a failed message, and nothing is parked.
    PassesFailed,
    /// A message is settled though an earlier one of its key is not.
    SettlesOutOfOrder,
    /// The same in callers' transactions.
    SettlesOutOfOrderInTx,
    /// A lane hands out its last message first.
    HandsOutBackwards,
    /// A group that wants order takes tracked messages by their rows.
    OrderedGroupTakesRows,
    /// Messages are looked for where the present mode has them.
    ForgetsOldPath,
    /// The cursor of an unordered group delivers tracked messages too.
    CursorTakesTracked,
    /// The trigger writes no tracking rows.
    NoTrackingRow,
    /// A subscription does not catch up.
    NoCatchUp,
    /// It does so once, whoever is still publishing.
    CatchesUpOnce,
    /// The cursor begins above the start.
    StartsOneLate,
    /// The cursor begins two below the start.
    StartsOneEarly,
    /// A caller's transaction checks its receipt before it inserts.
    ChecksBeforeInsert,
    /// A caller's transaction does not check its receipt.
    NoCheckInTx,
    /// Of two settlements of a message both are accepted: no unique key.
    NoUniqueSettlement,
    /// Commits of cursors do not look for settlements that their member does not know of.
    IgnoresSettlements,
    /// A commit of a cursor removes the settlement of a message that was parked meanwhile.
    FoldsParkedByCursor,
    /// A fold reads what it folds without a lock and adds up.
    FoldsTwice,
    /// A fold takes rows of transactions that are open.
    FoldsUncommitted,
    /// A fold removes the settlement first, the tracking row in another transaction.
    FoldsInTwoTransactions,
    /// A claim does not look for settlements of callers' transactions.
    ClaimsSettled,
}
