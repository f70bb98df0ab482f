//! What happened in one interleaving.

use fanout_core::{Delivery, ErrorKind, MessageId, Outcome, Receipt, Timestamp, Verdict};

use crate::step::{Group, Step};

/// What a step did.
#[derive(Clone, Debug)]
pub(crate) enum Happened {
    /// What it was meant to do.
    Done,
    /// Nothing: what it needs was not there.
    Nothing,
    Failed(ErrorKind, String),
    Published(MessageId),
    Fetched(Vec<Delivery>),
    Settled(Vec<(Delivery, Verdict, Outcome)>),
    /// In the open transaction.
    SettledIn(Vec<Receipt>),
    RolledBack,
}

/// A step that was taken. Rounds count the steps as they are begun: what ended in a round ended before
/// whatever began in a later one.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) session: usize,
    pub(crate) step: Step,
    pub(crate) began: u64,
    /// The first round in which it no longer waited for a lock of another session.
    pub(crate) resumed: u64,
    pub(crate) ended: u64,
    /// When it had ended, by the clock that the test drives.
    pub(crate) clock: Timestamp,
    pub(crate) happened: Happened,
}

impl Event {
    pub(crate) const fn group(&self) -> Option<Group> {
        match self.step {
            Step::Subscribe(group, _)
            | Step::Seek(group, _)
            | Step::Cancel(group)
            | Step::Fetch(group, _) => Some(group),
            _ => None,
        }
    }

    pub(crate) const fn is_done(&self) -> bool {
        !matches!(
            self.happened,
            Happened::Failed(..) | Happened::Nothing | Happened::RolledBack
        )
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            session,
            began,
            resumed,
            ended,
            ..
        } = self;
        write!(
            f,
            "{began:>3}-{ended:<3} session {session}: {:?}",
            self.step
        )?;
        if resumed > began {
            write!(f, " (waited until {resumed})")?;
        }
        match &self.happened {
            Happened::Done => Ok(()),
            Happened::Nothing => write!(f, ": nothing to do"),
            Happened::RolledBack => write!(f, ": rolled back"),
            Happened::Failed(kind, message) => write!(f, ": {kind:?}: {message}"),
            Happened::Published(id) => write!(f, ": message {id}"),
            Happened::Fetched(deliveries) => {
                let ids = deliveries.iter().map(|delivery| delivery.message.id.0);
                write!(f, ": got {:?}", ids.collect::<Vec<_>>())
            }
            Happened::Settled(settled) => {
                let outcomes = settled
                    .iter()
                    .map(|(delivery, _, outcome)| (delivery.message.id.0, outcome));
                write!(f, ": {:?}", outcomes.collect::<Vec<_>>())
            }
            Happened::SettledIn(receipts) => {
                let ids = receipts.iter().map(|receipt| receipt.id().0);
                write!(f, ": {:?}", ids.collect::<Vec<_>>())
            }
        }
    }
}
