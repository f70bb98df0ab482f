//! What sessions do.

use fanout_core::{CompletionMode, OnFailure, Ordering, StartPosition};

/// How a transaction of a caller is isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    pub(crate) const ALL: [Self; 3] = [
        Self::ReadCommitted,
        Self::RepeatableRead,
        Self::Serializable,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// The groups of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Unordered,
    /// Keeps order per key; failures are parked.
    Keyed,
    /// The same; failures block their lane.
    Blocking,
}

impl Group {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unordered => "unordered",
            Self::Keyed => "keyed",
            Self::Blocking => "blocking",
        }
    }

    pub(crate) const fn ordering(self) -> Ordering {
        match self {
            Self::Unordered => Ordering::Unordered,
            Self::Keyed | Self::Blocking => Ordering::PerKey,
        }
    }

    pub(crate) const fn on_failure(self) -> OnFailure {
        match self {
            Self::Unordered | Self::Keyed => OnFailure::Park,
            Self::Blocking => OnFailure::Block,
        }
    }
}

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Now,
    Beginning,
}

impl Start {
    pub(crate) const fn position(self) -> StartPosition {
        match self {
            Self::Now => StartPosition::FromNow,
            Self::Beginning => StartPosition::FromBeginning,
        }
    }
}

/// A lock that stops calls of the engine in their middle, so that others come between their statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Stops `subscribe`, `seek` and `cancel`: for the first two after their tick.
    Membership,
    /// Stops whoever waits for its turn to take a tick.
    Ticks,
    /// Stops publishers that have drawn their ids.
    Leaf,
    /// Stops publishers that have read the subscriptions, and whoever changes completion records.
    Records,
    /// Stops whoever commits or takes over cursors.
    Cursors,
    /// Stops callers' transactions that have not inserted their settlements.
    Settlements,
}

impl Gate {
    pub(crate) fn sql(self, topic: i32) -> String {
        match self {
            Self::Membership => format!("SELECT fanout.lock_membership({topic})"),
            Self::Ticks => {
                format!("SELECT pg_advisory_xact_lock(fanout.tick_lock_class(), {topic})")
            }
            Self::Leaf => format!("LOCK TABLE fanout.outbox_{topic}_1 IN SHARE MODE"),
            Self::Records => {
                format!("LOCK TABLE fanout.outbox_completions_{topic}_1 IN SHARE MODE")
            }
            Self::Cursors => format!(
                "SELECT FROM fanout.outbox_subscription_offsets WHERE topic_id = {topic} \
                 ORDER BY group_index, lane FOR UPDATE"
            ),
            Self::Settlements => "LOCK TABLE fanout.outbox_settlements IN SHARE MODE".to_owned(),
        }
    }
}

/// One step of a script. What needs an open transaction, a member or deliveries in hand does nothing
/// without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Opens a transaction; its snapshot, where it has one, is of this moment.
    Begin(Isolation),
    /// Publishes a message in the open transaction; with a key if told so.
    Insert {
        keyed: bool,
    },
    Commit,
    Rollback,
    /// Publishes a message by a call of its own.
    Publish {
        keyed: bool,
    },
    Subscribe(Group, Start),
    Seek(Group, Start),
    Cancel(Group),
    /// Takes up to so many messages, as a member that is joined at the first.
    Fetch(Group, usize),
    /// Settles all that is in hand.
    Settle,
    /// Reports the failure of all that is in hand.
    Fail,
    Release,
    /// Settles all that is in hand within the open transaction.
    SettleIn,
    /// Takes a tick unless another session does, or after it.
    Tick {
        wait: bool,
    },
    /// Takes a tick within the open transaction.
    TickIn,
    /// Takes a lock in a transaction, which is opened if there is none.
    Hold(Gate),
    Mode(CompletionMode),
    /// Ends all leases.
    Expire,
    /// The process vanishes: members, deliveries and the open transaction.
    Drop,
    Leave,
    Maintain,
}
