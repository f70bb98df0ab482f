//! Up to where a topic is settled.

use fanout_core::{MessageId, Timestamp, Watermark};

use super::open_transaction::OpenTransaction;
use super::{Acceptor, Checked, check};
use crate::published::{Fate, Ordinal, Published};
use crate::reader::{Channel, Reader};

/// What is known of a topic's watermark.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marked {
    /// Messages that were given to publish: no id is above their number, since each draws one at
    /// most. A refused one may have drawn an id that nobody hears of.
    pub(super) attempts: i64,
    /// As it was read last.
    last: Option<Watermark>,
    /// Kept messages were made owed again.
    may_fall: bool,
    /// Maintenance ran since then, with nothing left to wait for.
    is_settling: bool,
}

impl Marked {
    /// Kept messages are owed again.
    pub(super) fn may_fall(&mut self) {
        self.may_fall = true;
        self.is_settling = false;
    }

    pub(super) fn settle(&mut self) {
        self.is_settling = true;
    }
}

impl Acceptor {
    /// The watermark may lag behind, unless it must be exact, but it may never run ahead.
    pub fn check_watermark(
        &mut self,
        channel: Channel,
        read: &Watermark,
        exact: bool,
        now: Timestamp,
    ) -> Checked {
        let (least, most) = self.decided(channel);
        let owed = self.lowest_owed(channel);
        let below = |decided: i64| owed.map_or(decided, |id| decided.min(id.0 - 1));
        check!(
            read.id.0 >= 0 && read.id <= read.decided && read.updated_at <= now,
            "watermark: {read:?} now={now}"
        );
        check!(
            read.decided.0 <= most,
            "watermark: not all is decided up to {}, only up to {most}: {read:?}",
            read.decided
        );
        check!(
            read.id.0 <= below(most),
            "watermark: not all is settled up to {}, {owed:?} is owed: {read:?}",
            read.id
        );
        check!(
            !exact || read.decided.0 >= least && read.id.0 >= below(least),
            "watermark: must be {} with all decided up to {least}, got {read:?}",
            below(least)
        );
        let marked = self.marked.entry(channel).or_default();
        if let Some(last) = &marked.last {
            check!(
                read.decided >= last.decided && (read.id >= last.id || marked.may_fall),
                "watermark: fell from {last:?} to {read:?}"
            );
        }
        marked.last = Some(*read);
        marked.may_fall &= !marked.is_settling;
        Ok(())
    }

    /// The last message at or below the watermark, as it was read last.
    pub(super) fn marked_up_to(&self, channel: Channel) -> Option<Ordinal> {
        let read = self.marked.get(&channel)?.last?;
        let mut known = self.ordinals.range(..=(channel, read.id));
        known
            .next_back()
            .filter(|((of, _), _)| *of == channel)
            .map(|(_, ordinal)| *ordinal)
    }

    /// Up to where every id has committed or rolled back, at least and at most. The refusal of a call may have
    /// rolled its transaction back already, before the caller says so.
    fn decided(&self, channel: Channel) -> (i64, i64) {
        let of_channel = |ordinal: &Ordinal| self.published[*ordinal].channel == channel;
        let lowest = |open: &mut dyn Iterator<Item = &OpenTransaction>| {
            open.flat_map(|open| &open.published)
                .filter(|ordinal| of_channel(ordinal))
                .map(|ordinal| self.published[*ordinal].id.0 - 1)
                .min()
        };
        let least = lowest(&mut self.transactions.values());
        let most = lowest(
            &mut self
                .transactions
                .values()
                .filter(|open| open.doom.is_none()),
        );
        let is_known = |p: &&Published| p.channel == channel && p.fate != Fate::Refused;
        let known = self.published.iter().filter(is_known).map(|p| p.id.0).max();
        let drawn = self
            .marked
            .get(&channel)
            .map_or(0, |marked| marked.attempts);
        (least.or(known).unwrap_or(0), most.unwrap_or(drawn))
    }

    /// The lowest message that a live group owes.
    fn lowest_owed(&self, channel: Channel) -> Option<MessageId> {
        Reader::of(channel)
            .filter_map(|reader| self.latest(reader))
            .filter(|seat| self.is_live(*seat))
            .flat_map(|seat| self.incarnation(seat).owed.keys())
            .map(|message| self.published[*message].id)
            .min()
    }
}
