//! Members.

use fanout_core::{
    ErrorKind, Extension, JoinOptions, Outcome, Receipt, Settlement, Timestamp, Transactional,
    Verdict,
};
use std::time::Duration;

use super::{Driver, FAR, MEMBERS, Seated};
use crate::acceptor::{Checked, Held, expect_error};
use crate::handler::Handling;
use crate::op::{Expire, Pick, Source, Tick};
use crate::reader::{LeaseLength, Reader};

/// An engine may first look what there is, or give up lanes, and deliver at the next call.
const FETCHES: usize = 3;

impl<B: Transactional> Driver<'_, B> {
    pub(super) async fn join(&mut self, reader: Reader) -> Checked<Option<Seated>> {
        let group = reader.group();
        let group = match reader {
            Reader::Group(_) => Some(&group),
            Reader::Queue => None,
        };
        let joined = self
            .backend
            .join(&self.topic(reader.channel()), group, JoinOptions::default())
            .await;
        let (member, answer) = match joined {
            Ok(member) => {
                let subscription = member.subscription();
                (Some(member), Ok(subscription))
            }
            Err(error) => (None, Err(error)),
        };
        let seat = self.acceptor.on_join(reader, &answer)?;
        let (Some(member), Some(seat)) = (member, seat) else {
            return Ok(None);
        };
        self.sessions += 1;
        let seated = Seated {
            member,
            seat,
            session: self.sessions,
        };
        if self.members.len() == MEMBERS {
            self.members.remove(0);
        }
        self.members.push(seated.clone());
        Ok(Some(seated))
    }

    pub(super) async fn beat(&mut self, member: u8) -> Checked {
        let Some(member) = self.find_member(member, |_| true) else {
            return Ok(());
        };
        let answer = member.member.heartbeat().await;
        self.acceptor.on_beat(member.seat, &answer, self.now())
    }

    pub(super) fn crash(&mut self, member: u8) {
        if let Some(member) = self.find_member(member, |_| true) {
            self.forget(&member);
        }
    }

    fn forget(&mut self, member: &Seated) {
        self.members.retain(|other| other.session != member.session);
    }

    /// The member leaves, twice, and then everything is refused.
    pub(super) async fn leave(&mut self, member: u8) -> Checked {
        let Some(member) = self.find_member(member, |_| true) else {
            return Ok(());
        };
        self.forget(&member);
        let left = member.member.leave().await;
        self.acceptor.on_leave(member.seat, member.session, &left)?;
        let again = member.member.leave().await;
        self.acceptor
            .on_leave(member.seat, member.session, &again)?;
        let closed = &[ErrorKind::Closed];
        expect_error("fetch after leaving", &member.member.fetch(1).await, closed)?;
        expect_error(
            "heartbeat after leaving",
            &member.member.heartbeat().await,
            closed,
        )
    }

    pub(super) async fn fetch_some(&mut self, member: u8, limit: u8) -> Checked {
        let Some(member) = self.find_to_fetch(member) else {
            return Ok(());
        };
        for _ in 0..FETCHES {
            let fetched = self.fetch(&member, usize::from(limit)).await?;
            if !fetched.is_empty() || self.acceptor.owes(member.seat) == 0 {
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn fetch(&mut self, member: &Seated, limit: usize) -> Checked<Vec<Held>> {
        let answer = member.member.fetch(limit).await;
        self.acceptor
            .on_fetch(member.seat, member.session, limit, &answer, self.now())
    }

    pub(super) async fn handle_some(&mut self, member: u8, source: Source, pick: Pick) -> Checked {
        let Some(member) = self.find_to_handle(member) else {
            return Ok(());
        };
        let handled: Vec<_> = self
            .pick_for_member(&member, source, pick)
            .into_iter()
            .filter(|held| !self.acceptor.is_reserved(*held))
            .filter_map(|held| Some((held, self.verdict(held, |handling| handling)?)))
            .collect();
        self.settle(&member, &handled).await
    }

    pub(super) fn verdict(
        &self,
        held: Held,
        change: impl Fn(Handling) -> Handling,
    ) -> Option<Verdict> {
        let handed = self.acceptor.handed(held);
        let handling = self
            .handler
            .handle(handed.seat.reader, handed.message, handed.attempt);
        change(handling).verdict(handed.attempt)
    }

    pub(super) async fn settle(&mut self, member: &Seated, settled: &[(Held, Verdict)]) -> Checked {
        let settlements: Vec<_> = settled
            .iter()
            .map(|(held, verdict)| Settlement {
                receipt: self.acceptor.handed(*held).receipt,
                verdict: verdict.clone(),
            })
            .collect();
        let answer: fanout_core::Result<Vec<Outcome>> = member.member.settle(&settlements).await;
        self.acceptor
            .on_settle(member.seat, member.session, settled, &answer, self.now())
    }

    pub(super) async fn extend_some(
        &mut self,
        member: u8,
        source: Source,
        pick: Pick,
        by: LeaseLength,
    ) -> Checked {
        let Some(member) = self.find_to_handle(member) else {
            return Ok(());
        };
        // What stands twice is extended twice: no outcome depends on which of the two comes first.
        let picked = self.pick_for_member(&member, source, pick);
        let receipts: Vec<Receipt> = picked
            .iter()
            .map(|held| self.acceptor.handed(*held).receipt)
            .collect();
        let answer: fanout_core::Result<Vec<Extension>> =
            member.member.extend(&receipts, by.duration()).await;
        self.acceptor
            .on_extend(member.seat, &picked, by.duration(), &answer, self.now())
    }

    /// Moves the clock, but to the end of no open lease. The next message may be published at its
    /// end, though.
    pub(super) fn tick(&mut self, tick: Tick) {
        if self.acceptor.stalls_are_near_their_limit() {
            return;
        }
        let now = self.now();
        let first = self.acceptor.open_until(now).into_iter().min();
        let to = match (first, tick) {
            (None, _) => now + Duration::from_millis(1500),
            (Some(first), Tick::Half) => now + first.since(now) / 2,
            (Some(first), Tick::Brink) => Timestamp::from_micros(first.as_micros() - 1),
        };
        self.clock.set(to);
    }

    /// Moves the clock to or beyond the end of every open lease.
    pub(super) fn expire(&mut self, expire: Expire) {
        if self.acceptor.stalls_are_near_their_limit() {
            return;
        }
        let now = self.now();
        let last = self.acceptor.open_until(now).into_iter().max();
        let last = last.unwrap_or(now);
        self.clock.set(match expire {
            Expire::To => last,
            Expire::Beyond => last + Duration::from_millis(2500),
            Expire::FarBeyond => last + FAR,
        });
    }
}
