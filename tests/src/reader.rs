//! Who reads what in a history: three groups of a pub/sub topic, and the consumers of a queue.

use std::time::Duration;

use fanout_core::{Backoff, GroupName, OnFailure, Ordering, SubscriptionOptions};

/// One of the two topics of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    PubSub,
    Queue,
}

impl Channel {
    pub const ALL: [Self; 2] = [Self::PubSub, Self::Queue];
}

/// One reader of a history's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// A group of the pub/sub topic: 0, 1 or 2.
    Group(u8),
    /// The built-in group of the queue.
    Queue,
}

/// How long the leases of a subscription are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseLength {
    Short,
    Long,
}

/// In which order a group reads, and what a failure does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In any.
    Any,
    /// Per key; what fails is set aside.
    Park,
    /// Per key; what fails holds its lane up.
    Block,
}

impl Order {
    pub const ALL: [Self; 3] = [Self::Any, Self::Park, Self::Block];
}

impl LeaseLength {
    pub const fn duration(self) -> Duration {
        match self {
            Self::Short => Duration::from_secs(10),
            Self::Long => Duration::from_secs(60),
        }
    }
}

impl Reader {
    pub const ALL: [Self; 4] = [Self::Group(0), Self::Group(1), Self::Group(2), Self::Queue];

    pub const fn channel(self) -> Channel {
        match self {
            Self::Group(_) => Channel::PubSub,
            Self::Queue => Channel::Queue,
        }
    }

    pub fn of(channel: Channel) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |reader| reader.channel() == channel)
    }

    pub fn group(self) -> GroupName {
        match self {
            Self::Group(n) => GroupName::new(format!("group {n}")).expect("a valid name"),
            Self::Queue => GroupName::queue(),
        }
    }

    /// A small number of its own.
    pub const fn number(self) -> usize {
        match self {
            Self::Group(n) => n as usize,
            Self::Queue => 3,
        }
    }

    /// How it delivers, in these orders. All but the lease is the same throughout a history, so that
    /// what becomes of a message does not depend on when it is handled; stalls are unlimited where
    /// they can be.
    pub fn options(self, lease: LeaseLength, orders: [Order; 3]) -> SubscriptionOptions {
        let order = match self {
            Self::Group(n) => orders[usize::from(n) % orders.len()],
            Self::Queue => Order::Any,
        };
        let (ordering, on_failure) = match order {
            Order::Any => (Ordering::Unordered, OnFailure::Park),
            Order::Park => (Ordering::PerKey, OnFailure::Park),
            Order::Block => (Ordering::PerKey, OnFailure::Block),
        };
        let (max_attempts, backoff) = match self {
            Self::Group(0) => (
                2,
                Backoff::new()
                    .with_initial(Duration::from_secs(2))
                    .with_max(Duration::from_secs(5)),
            ),
            Self::Group(1) => (
                3,
                Backoff::new()
                    .with_initial(Duration::ZERO)
                    .with_max(Duration::ZERO),
            ),
            Self::Group(_) => (4, Backoff::new().with_jitter(0.0)),
            Self::Queue => return SubscriptionOptions::default(),
        };
        SubscriptionOptions {
            ordering,
            on_failure,
            lease: lease.duration(),
            max_attempts,
            max_stalls: i32::MAX.unsigned_abs(),
            backoff,
            ..SubscriptionOptions::default()
        }
    }
}
