//! The alphabet of histories.

use fanout_core::CompletionMode;

use crate::reader::{Channel, LeaseLength, Reader};

/// One step of a history: plain data with bounded values, for proptest and for a fuzzer alike.
///
/// Messages are never named; members, transactions and receipts are named by numbers that are taken
/// modulo what there is. Where nothing fits, the op does nothing. What a publishing op does may
/// depend on nothing but the ops before it, so that both engines get the same messages; who acts on
/// deliveries may depend on what the engine delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Publishes in a transaction of its own.
    Publish { channel: Channel, batch: Batch },
    /// Opens a transaction, if there is a free slot.
    Open { purpose: Purpose },
    /// Publishes in an open transaction whose purpose is to transform; opens one if there is none.
    PublishIn {
        tx: u8,
        channel: Channel,
        batch: Batch,
    },
    /// Settles in an open transaction; opens one if there is none. When the reader has nothing to
    /// settle, another's is.
    SettleIn {
        tx: u8,
        reader: Reader,
        source: Source,
        pick: Pick,
    },
    /// Commits an open transaction, or rolls it back when it must be.
    Commit { tx: u8 },
    /// Rolls an open transaction back.
    Rollback { tx: u8 },

    /// Changes the mode of a topic, where modes are mixed; perhaps to the one that it has.
    Migrate {
        channel: Channel,
        mode: CompletionMode,
    },
    /// Subscribes, again or anew.
    Subscribe {
        reader: Reader,
        lease: LeaseLength,
        start: Start,
    },
    /// Moves a group to another position.
    Seek { reader: Reader, to: Start },
    /// Stops delivery.
    Pause { reader: Reader },
    /// Continues delivery.
    Resume { reader: Reader },
    /// Ends the subscription.
    Cancel { reader: Reader },
    /// Gives a sign of life for the group.
    Heartbeat { reader: Reader },

    /// Joins as one more member; the oldest crashes when there are too many.
    Join { reader: Reader },
    /// A member gives a sign of life.
    Beat { member: u8 },
    /// A member goes without a word.
    Crash { member: u8 },
    /// A member goes and releases what it holds.
    Leave { member: u8 },
    /// A member fetches. A member's number means any member if 4 divides it; else one that has
    /// something to fetch (to handle: in hand), if there is one.
    Fetch { member: u8, limit: u8 },
    /// A member settles as the handler says. What the handler keeps stays in hand.
    Handle {
        member: u8,
        source: Source,
        pick: Pick,
    },
    /// A member moves the end of leases.
    Extend {
        member: u8,
        source: Source,
        pick: Pick,
        by: LeaseLength,
    },

    /// Does the upkeep that is due.
    Maintain,
    /// Moves the clock, but not to the end of any open lease.
    Tick(Tick),
    /// Moves the clock to, or beyond, the end of every open lease.
    Expire(Expire),

    /// Tries to delete a topic that still has unsettled messages.
    Delete { channel: Channel },
    /// A call that is wrong in itself.
    Bad(Bad),
}

/// A batch to publish: 1 to 4 messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub messages: u8,
    pub keys: Keys,
}

/// Which keys the messages of a batch have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    None,
    /// All have this one.
    One(u8),
    /// Every other one has this one; the rest have none.
    EveryOther(u8),
    /// One after the other, beginning with this one.
    Round(u8),
}

impl Keys {
    /// How many keys there are.
    pub const COUNT: u8 = 3;

    /// The key of the message with this number in the batch.
    pub const fn of(self, number: u8) -> Option<u8> {
        match self {
            Self::None => None,
            Self::One(key) => Some(key),
            Self::EveryOther(key) => {
                if number.is_multiple_of(2) {
                    Some(key)
                } else {
                    None
                }
            }
            Self::Round(first) => Some((first + number) % Self::COUNT),
        }
    }
}

/// A position in a log. A number names a message that was published before, whatever became of it;
/// or one beyond the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Now,
    Beginning,
    /// At the message.
    Message(u8),
    /// At the time of the message.
    Time(u8),
    /// Right after the time of the message.
    After(u8),
}

/// What a transaction is for.
///
/// One that publishes settles only receipts that are certain to be valid, so that it commits on
/// every engine or on none; one that only settles may use any receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Publishes, and settles what it was made from.
    Transform,
    /// Settles, with receipts that may be stale.
    Settle,
}

/// Which receipts to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What the member (in a transaction: the reader) has not settled yet.
    Hand,
    /// What any member of the group has not settled yet.
    Group,
    /// All that the group ever got, settled or not.
    Past,
    /// All that anybody ever got.
    Anybody,
}

/// Which of them: `count` of the latest ones, from number `from` backwards; the first once more if
/// `twice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    pub from: u8,
    pub count: u8,
    pub twice: bool,
}

/// How far the clock moves before the first end of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Half way.
    Half,
    /// To a microsecond before it.
    Brink,
}

/// How far the clock moves beyond the last end of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    /// Exactly to it.
    To,
    /// Beyond it.
    Beyond,
    /// So far beyond it that nobody holds a lane any more either.
    FarBeyond,
}

/// Calls that must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    PublishNothing,
    PublishOversized,
    PublishNulKey,
    PublishToNoTopic,
    PublishInNothing,
    CreateAgain,
    CreateInvalid,
    UpdateInvalid,
    SubscribeToNoTopic,
    SubscribeInOtherOrder,
    SubscribeBlockingWithoutOrder,
    SubscribeInvalid,
    SeekNobody,
    PauseNobody,
    CancelNobody,
    BeatNobody,
    JoinNoTopic,
    JoinNobody,
    JoinNoGroup,
    JoinGroupOfQueue,
    FetchNothing,
    ExtendByNothing,
    ReadNoTopic,
    ReadNobody,
    DeleteNoTopic,
}

impl Bad {
    pub const ALL: [Self; 25] = [
        Self::PublishNothing,
        Self::PublishOversized,
        Self::PublishNulKey,
        Self::PublishToNoTopic,
        Self::PublishInNothing,
        Self::CreateAgain,
        Self::CreateInvalid,
        Self::UpdateInvalid,
        Self::SubscribeToNoTopic,
        Self::SubscribeInOtherOrder,
        Self::SubscribeBlockingWithoutOrder,
        Self::SubscribeInvalid,
        Self::SeekNobody,
        Self::PauseNobody,
        Self::CancelNobody,
        Self::BeatNobody,
        Self::JoinNoTopic,
        Self::JoinNobody,
        Self::JoinNoGroup,
        Self::JoinGroupOfQueue,
        Self::FetchNothing,
        Self::ExtendByNothing,
        Self::ReadNoTopic,
        Self::ReadNobody,
        Self::DeleteNoTopic,
    ];
}
