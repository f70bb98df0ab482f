#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

/// Whether a known mistake is in force, for tests that show that it is caught; `false` in every build
/// without `--cfg fanout_planted`.
#[doc(hidden)]
#[cfg(fanout_planted)]
#[macro_export]
macro_rules! planted {
    ($mistake:ident) => {
        $crate::planted::is_in_force($crate::planted::Mistake::$mistake)
    };
}
#[doc(hidden)]
#[cfg(not(fanout_planted))]
#[macro_export]
macro_rules! planted {
    ($mistake:ident) => {
        false
    };
}

mod backend;
mod backend_ext;
mod backoff;
mod bitmap;
mod clock;
mod completion_mode;
mod dead_letter;
mod delivery;
mod error;
mod headers;
mod id;
mod id_set;
mod lane;
mod lifecycle;
mod maintenance;
mod member;
mod member_ext;
mod message;
mod name;
mod new_message;
#[cfg(fanout_planted)]
pub mod planted;
mod receipt;
mod settlement;
mod snapshot;
mod stats;
mod strategy;
mod subscription;
mod subscription_options;
mod text_enum;
mod timestamp;
mod topic;
mod transactional;

pub use backend::{Backend, JoinOptions};
pub use backend_ext::BackendExt;
pub use backoff::{Backoff, BackoffError};
pub use bitmap::{GroupBitmap, GroupIndexOutOfRange, MAX_GROUPS};
pub use clock::{Clock, ManualClock, SystemClock};
pub use completion_mode::{CompletionMode, RecommendedMode};
pub use dead_letter::{DeadLetter, DeadReason};
pub use delivery::{Delivery, Fetched, Gap, GapReason};
pub use error::{Error, ErrorKind, Result};
pub use headers::Headers;
pub use id::{GroupIndex, Lane, MessageId, SubscriptionId, TopicId};
pub use id_set::{IdSet, IdSetError};
pub use lane::{DEFAULT_LANES, MAX_LANES, lane_of};
pub use lifecycle::{
    InvalidTransition, SubscriptionEvent, SubscriptionStatus, Transition, UnknownStatus,
};
pub use maintenance::MaintenanceReport;
pub use member::{Member, MemberCounters};
pub use member_ext::MemberExt;
pub use message::Message;
pub use name::{GroupName, MAX_NAME_BYTES, MemberName, TopicName};
pub use new_message::{MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_PAYLOAD_BYTES, NewMessage};
pub use receipt::{CursorReceipt, Receipt, ReceiptForm, TrackedReceipt};
pub use settlement::{Extension, MAX_ERROR_BYTES, Outcome, Settlement, Verdict, stored_error};
pub use snapshot::{Snapshot, SnapshotError};
pub use stats::{GroupRemaining, GroupStats, MessageAccounting, Watermark};
pub use strategy::{Claimed, CompletionStrategy, Scope};
pub use subscription::{StartPosition, Subscribe, Subscription};
pub use subscription_options::{MAX_LEASE, OnFailure, Ordering, SubscriptionOptions, check_lease};
#[cfg(feature = "chrono")]
pub use timestamp::ChronoRangeError;
pub use timestamp::Timestamp;
pub use topic::{DeleteTopic, Semantics, Topic, TopicConfig, TopicUpdate};
pub use transactional::{AsyncWork, OpenTx, Transactional, TransactionalExt};
