//! Which topics an op may show in.

use fanout_core::Transactional;

use super::{Driver, Seated};
use crate::modes::Modes;
use crate::op::{Op, Source};
use crate::reader::Channel;

/// After so many ops both topics are read whatever the ops are: what goes wrong in the other topic
/// stays wrong, and is found then.
const OFTEN: usize = 4;

const NONE: &[Channel] = &[];
const BOTH: &[Channel] = &Channel::ALL;

impl<B: Transactional> Driver<'_, B> {
    /// The topics to be read after an op that is about to be done. None if it will call nobody.
    pub(super) fn touched(&self, step: usize, op: &Op) -> Vec<Channel> {
        if self.terms.reads_all || step.is_multiple_of(OFTEN) {
            return BOTH.to_vec();
        }
        let of_member = |found: Option<Seated>| match found {
            Some(member) => vec![member.seat.reader.channel()],
            None => NONE.to_vec(),
        };
        match *op {
            Op::Publish { channel, .. }
            | Op::PublishIn { channel, .. }
            | Op::Delete { channel } => vec![channel],
            Op::Migrate { channel, .. } if self.terms.modes == Modes::Mixed => vec![channel],
            Op::Migrate { .. } | Op::Open { .. } => NONE.to_vec(),
            Op::Subscribe { reader, .. }
            | Op::Seek { reader, .. }
            | Op::Pause { reader }
            | Op::Resume { reader }
            | Op::Cancel { reader }
            | Op::Heartbeat { reader }
            | Op::Join { reader } => vec![reader.channel()],
            Op::Beat { member } | Op::Crash { member } | Op::Leave { member } => {
                of_member(self.find_member(member, |_| true))
            }
            Op::Fetch { member, .. } => of_member(self.find_to_fetch(member)),
            Op::Handle { source, .. } | Op::Extend { source, .. }
                if source == Source::Anybody && !self.members.is_empty() =>
            {
                BOTH.to_vec()
            }
            Op::Handle { member, .. } | Op::Extend { member, .. } => {
                of_member(self.find_to_handle(member))
            }
            Op::Commit { .. } | Op::Rollback { .. } if self.open.is_empty() => NONE.to_vec(),
            Op::Commit { .. }
            | Op::Rollback { .. }
            | Op::SettleIn { .. }
            | Op::Maintain
            | Op::Tick(_)
            | Op::Expire(_)
            | Op::Bad(_) => BOTH.to_vec(),
        }
    }
}
