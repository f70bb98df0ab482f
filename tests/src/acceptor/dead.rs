//! A message that a group gave up.

use fanout_core::Timestamp;

use crate::published::Ordinal;
use crate::reader::Reader;

/// What its dead letter must say. All are for exhausted attempts: stalls are unlimited here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dead {
    pub(super) at: Timestamp,
    pub(super) reader: Reader,
    pub(super) message: Ordinal,
    pub(super) attempts: u32,
    pub(super) last_error: Option<String>,
}
