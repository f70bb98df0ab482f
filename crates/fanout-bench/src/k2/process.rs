//! One member of the group, with an engine of its own.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{BackendExt, GroupName, Member, MemberCounters, Settlement, TopicName};
use tokio::time::{sleep, timeout};

use super::fate::{Doom, Fate};
use super::ledger::Ledger;
use crate::failure::Result;
use crate::fleet;
use crate::pause::Pause;

const CONNECTIONS: u32 = 2;
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// What stands for a process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) number: usize,
    pub(super) url: String,
    pub(super) topic: TopicName,
    pub(super) group: GroupName,
    pub(super) fetch: usize,
    pub(super) ledger: Arc<Ledger>,
    pub(super) doom: Arc<Doom>,
}

/// A process that has ended.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) number: usize,
    pub(super) crash: Option<Crash>,
    pub(super) counters: MemberCounters,
}

/// How it crashed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crash {
    pub(super) fate: Fate,
    /// Messages that were in hand.
    pub(super) in_hand: usize,
}

impl Process {
    /// Runs until nothing is owed, or until it crashes: then the member is dropped where it stands,
    /// and the engine with it.
    pub(super) async fn run(self) -> Result<Life> {
        let engine = fleet::open(&self.url, CONNECTIONS).await?;
        let member = engine.join_group(&self.topic, &self.group).await?;
        let crash = self.consume(member.as_ref()).await?;
        if crash.is_none() {
            member.leave().await?;
        }
        Ok(Life {
            number: self.number,
            crash,
            counters: member.counters(),
        })
    }

    async fn consume(&self, member: &dyn Member) -> Result<Option<Crash>> {
        let mut pause = Pause::up_to(LONGEST_PAUSE);
        while !self.ledger.is_through() {
            let deliveries = member.fetch(self.fetch).await?.deliveries;
            if deliveries.is_empty() {
                pause.wait().await;
                continue;
            }
            pause.reset();
            let ids: Vec<_> = deliveries.iter().map(|one| one.message.id).collect();
            self.ledger.delivered(&ids);
            let fate = self.doom.fate();
            if let Some(Fate::Hang(time)) = fate {
                sleep(time).await;
            }
            let settlements: Vec<_> = deliveries
                .iter()
                .map(|delivery| Settlement::done(delivery.receipt))
                .collect();
            self.ledger.begin(&ids);
            let commit = member.settle(&settlements);
            let outcomes = match fate {
                Some(Fate::CutOff(after)) => timeout(after, commit).await.ok().transpose()?,
                _ => Some(commit.await?),
            };
            if let Some(outcomes) = outcomes {
                self.ledger.end(&ids, &outcomes);
            }
            if let Some(fate) = fate {
                let in_hand = deliveries.len();
                return Ok(Some(Crash { fate, in_hand }));
            }
        }
        Ok(None)
    }
}
