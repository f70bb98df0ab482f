//! Which receipts an op means.

use fanout_core::Transactional;

use super::{Driver, Seated};
use crate::acceptor::{Held, Seat};
use crate::op::{Pick, Source};
use crate::reader::Reader;

impl<B: Transactional> Driver<'_, B> {
    /// The member that a number names: any member, or one that is useful if there is one.
    pub(super) fn find_member(
        &self,
        number: u8,
        useful: impl Fn(&Seated) -> bool,
    ) -> Option<Seated> {
        let number = usize::from(number);
        let useful: Vec<_> = self
            .members
            .iter()
            .filter(|member| number % 4 > 0 && useful(member))
            .collect();
        let found = match useful.len() {
            0 => self.members.get(number % self.members.len().max(1)),
            _ => useful.get(number % useful.len()).copied(),
        };
        let found = found?;
        Some(Seated {
            seat: self.acceptor.present(found.seat),
            ..found.clone()
        })
    }

    pub(super) fn find_to_fetch(&self, number: u8) -> Option<Seated> {
        self.find_member(number, |member| {
            self.acceptor.owes(self.acceptor.present(member.seat)) > 0
        })
    }

    pub(super) fn find_to_handle(&self, number: u8) -> Option<Seated> {
        self.find_member(number, |member| {
            self.acceptor
                .all_handed()
                .any(|(_, handed)| handed.session == member.session && !handed.spent)
        })
    }

    pub(super) fn pick_for_member(&self, member: &Seated, source: Source, pick: Pick) -> Vec<Held> {
        let Seat { reader, epoch } = member.seat;
        self.pick(pick, |held| {
            let handed = self.acceptor.handed(held);
            let mine = handed.seat.reader == reader;
            match source {
                Source::Hand => mine && !handed.spent && handed.session == member.session,
                Source::Group => mine && !handed.spent && handed.seat.epoch == epoch,
                Source::Past => mine,
                Source::Anybody => true,
            }
        })
    }

    pub(super) fn pick_for_reader(&self, reader: Reader, source: Source, pick: Pick) -> Vec<Held> {
        self.pick(pick, |held| {
            let handed = self.acceptor.handed(held);
            let ours = handed.seat.reader == reader;
            match source {
                Source::Hand | Source::Group => ours && !handed.spent,
                Source::Past => ours,
                Source::Anybody => true,
            }
        })
    }

    fn pick(&self, pick: Pick, fits: impl Fn(Held) -> bool) -> Vec<Held> {
        let fitting: Vec<_> = self
            .acceptor
            .all_handed()
            .rev()
            .map(|(held, _)| held)
            .filter(|held| fits(*held))
            .collect();
        let count = usize::from(pick.count).min(fitting.len());
        let mut picked: Vec<_> = (0..count)
            .map(|n| fitting[(usize::from(pick.from) + n) % fitting.len()])
            .collect();
        if pick.twice {
            picked.extend(picked.first().copied());
        }
        picked
    }
}
