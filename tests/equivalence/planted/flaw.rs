//! Planted bugs.

use fanout_core::CompletionMode;
use fanout_tests::modes::Modes;

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing: then the acceptor must accept.
    None,
    /// Nothing either: it makes other choices than the memory engine where they are the engine's to
    /// make. Delivers late and little, and takes no receipt after its end.
    Different,
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
    /// Hands a batch out in the wrong order.
    InvertsKeys,
    /// Hands out the second message of a key, and the first when its lease has ended.
    DeliversAhead,
    /// Says that a settlement out of order was applied.
    SettlesOutOfOrder,
    /// Goes on with a lane that waits for a failed message.
    DeliversBlocked,
    /// Does not deliver again what failed and was set aside.
    ForgetsParked,
    /// A seek passes over the first message at the position.
    SeekForgets,
    /// Starts one message later than it was told to.
    StartsOffByOne,
    /// Takes for settled what is only decided.
    MarksUnsettled,
    /// Takes for decided what is still being published.
    MarksUndecided,
    /// Says that a topic's mode has changed, and goes on as before.
    KeepsItsMode,
    /// A change of the mode settles a message that each group owes.
    ChangeLosesBacklog,
    /// A change of the mode makes receipts stale.
    ChangeVoidsReceipts,
}

impl Flaw {
    /// Whether an engine can have it on topics of these modes.
    pub(crate) fn shows_in(self, modes: Modes) -> bool {
        match self {
            // Nothing is accounted for by message where cursors are read.
            Self::Miscounts => modes != Modes::Only(CompletionMode::OffsetWatermark),
            Self::KeepsItsMode | Self::ChangeLosesBacklog | Self::ChangeVoidsReceipts => {
                modes == Modes::Mixed
            }
            _ => true,
        }
    }

    /// What the acceptor must say of it, among other things: each of its checks is thus known to work.
    pub(crate) fn symptom(self) -> &'static str {
        match self {
            Self::None | Self::Different => "",
            Self::DeliversTwice => "is not its own",
            Self::EndsLeasesEarly | Self::ForgetsReleases => "stats: must be in_flight",
            Self::IgnoresLimit => "were asked for",
            Self::LosesMessages
            | Self::LosesLateCommits
            | Self::SeekForgets
            | Self::StartsOffByOne
            | Self::ChangeLosesBacklog => "owes also",
            Self::ForgetsAttempts => "got attempt 1",
            Self::ForgetsFailures => "failure 1 waits",
            Self::BuriesEarly => "gave DeadLettered",
            Self::AcceptsStale => "the receipt is stale, got Applied",
            Self::PassesOverForeign => "must be refused with [ForeignReceipt]",
            Self::DeliversUncommitted
            | Self::DeliversToLater
            | Self::ForgetsRollbacks
            | Self::SettlesHalf => "does not owe",
            Self::DeliversWhilePaused => "a paused group got",
            Self::StartsOver => "subscribe: must be",
            Self::Miscounts => "accounting: ",
            Self::InvertsKeys | Self::DeliversAhead => "comes before message",
            Self::SettlesOutOfOrder => "neither settled nor parked, got Applied",
            Self::DeliversBlocked => "waits for message",
            Self::ForgetsParked => "not drained",
            Self::MarksUnsettled => "not all is settled",
            Self::MarksUndecided => "not all is decided",
            Self::KeepsItsMode => "is tracked=",
            Self::ChangeVoidsReceipts => "the lease is open",
        }
    }

    pub(crate) const ALL: [Self; 30] = [
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
        Self::InvertsKeys,
        Self::DeliversAhead,
        Self::SettlesOutOfOrder,
        Self::DeliversBlocked,
        Self::ForgetsParked,
        Self::SeekForgets,
        Self::StartsOffByOne,
        Self::MarksUnsettled,
        Self::MarksUndecided,
        Self::KeepsItsMode,
        Self::ChangeLosesBacklog,
        Self::ChangeVoidsReceipts,
    ];
}
