//! Planted bugs.

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing: then the acceptor must accept.
    None,
    /// Hands the last delivery out again.
    DeliversTwice,
    /// Lets leases end before they should.
    EndsLeasesEarly,
    /// Gives more than was asked for.
    IgnoresLimit,
    /// Now and then settles a message instead of delivering it.
    LosesMessages,
    /// Never delivers what commits after a higher id: the trap of reading a log by id.
    LosesLateCommits,
    /// Does not count attempts.
    ForgetsAttempts,
    /// Gives a failed message back as if it had not been fetched.
    ForgetsFailures,
    /// Does not give released messages back.
    ForgetsReleases,
    /// Gives up a message at its first failure, without a dead letter.
    BuriesEarly,
    /// Says that a stale receipt was applied.
    AcceptsStale,
    /// Passes over receipts of other groups.
    PassesOverForeign,
    /// Publishes before the commit.
    DeliversUncommitted,
    /// Gives a group what was published before it subscribed.
    DeliversToLater,
    /// Delivers to paused groups.
    DeliversWhilePaused,
    /// Commits what is rolled back.
    ForgetsRollbacks,
    /// Settles only the first of a transaction's messages.
    SettlesHalf,
    /// Begins a live subscription anew when it is subscribed again.
    StartsOver,
    /// Counts a message as settled by all when one group has settled it.
    Miscounts,
}

impl Flaw {
    pub(crate) const ALL: [Self; 18] = [
        Self::DeliversTwice,
        Self::EndsLeasesEarly,
        Self::IgnoresLimit,
        Self::LosesMessages,
        Self::LosesLateCommits,
        Self::ForgetsAttempts,
        Self::ForgetsFailures,
        Self::ForgetsReleases,
        Self::BuriesEarly,
        Self::AcceptsStale,
        Self::PassesOverForeign,
        Self::DeliversUncommitted,
        Self::DeliversToLater,
        Self::DeliversWhilePaused,
        Self::ForgetsRollbacks,
        Self::SettlesHalf,
        Self::StartsOver,
        Self::Miscounts,
    ];
}
