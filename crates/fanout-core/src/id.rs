//! Identifiers. All are assigned by an engine and mean nothing across engines.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The bare number.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id_type!(
    /// One incarnation of a topic: a topic that is deleted and made again has another id.
    TopicId(i32)
);
id_type!(
    /// A message's place in its topic's log: unique per topic, increasing, starting at 1. Ids are
    /// drawn before commit, so they neither commit in order nor lack gaps.
    MessageId(i64)
);
id_type!(
    /// One incarnation of a subscription: subscribing after a cancellation makes a new one.
    SubscriptionId(i64)
);
id_type!(
    /// A group's bit in the bitmaps of its topic, below [`MAX_GROUPS`](crate::MAX_GROUPS).
    GroupIndex(u16)
);
id_type!(
    /// A hash bucket of message keys: the unit of lane leases and of order.
    Lane(u16)
);
