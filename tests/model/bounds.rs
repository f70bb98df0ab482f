use crate::world::Ids;

/// How much may happen, so that the space is finite and small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) name: &'static str,
    pub(crate) messages: u8,
    /// `Ordering::PerKey`, all messages with one key.
    pub(crate) ordered: bool,
    /// `OnFailure::Block` instead of `Park`.
    pub(crate) blocks: bool,
    /// The mode at the beginning.
    pub(crate) counts_references: bool,
    /// The group subscribes while all goes on; otherwise it has before.
    pub(crate) start: Option<Start>,
    pub(crate) members: u8,
    pub(crate) tickers: u8,
    /// A tick is one step: its statements matter elsewhere.
    pub(crate) whole_ticks: bool,
    /// Ids are decided.
    pub(crate) decides: bool,
    /// Ticks are merged.
    pub(crate) merges: bool,
    /// Maintenance moves the cursor of a lane without owner.
    pub(crate) maintains: bool,
    /// Which messages are settled by calls of their own, and which in callers' transactions. Handlers
    /// whose effect must happen once all do the latter.
    pub(crate) plain: Ids,
    pub(crate) in_tx: Ids,
    pub(crate) budget: Budget,
    /// What comes on top with `FANOUT_FULL=1`.
    pub(crate) more: More,
    /// There must be at least so many states.
    pub(crate) least_states: usize,
}

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Now,
    /// At an id: from a message, or from the beginning.
    At(u8),
}

/// What may happen a few times only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Publishers that roll back.
    pub(crate) rollbacks: u8,
    pub(crate) mode_changes: u8,
    /// Leases of lanes that end.
    pub(crate) lane_leases: u8,
    /// Leases of deliveries that end, while the lane's goes on.
    pub(crate) leases: u8,
    /// Lanes that are given up.
    pub(crate) given_up: u8,
    pub(crate) failures: u8,
    /// Calls that are dropped while their commit is under way.
    pub(crate) dropped_calls: u8,
    /// Callers' transactions that roll back.
    pub(crate) undone_settlements: u8,
}

/// How much a longer run adds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct More {
    pub(crate) messages: u8,
    pub(crate) budget: Budget,
}

pub(crate) const NOTHING: Budget = Budget {
    rollbacks: 0,
    mode_changes: 0,
    lane_leases: 0,
    leases: 0,
    given_up: 0,
    failures: 0,
    dropped_calls: 0,
    undone_settlements: 0,
};

impl Budget {
    const fn and(self, more: Self) -> Self {
        Self {
            rollbacks: self.rollbacks + more.rollbacks,
            mode_changes: self.mode_changes + more.mode_changes,
            lane_leases: self.lane_leases + more.lane_leases,
            leases: self.leases + more.leases,
            given_up: self.given_up + more.given_up,
            failures: self.failures + more.failures,
            dropped_calls: self.dropped_calls + more.dropped_calls,
            undone_settlements: self.undone_settlements + more.undone_settlements,
        }
    }
}

impl Bounds {
    /// Without all that can be left out: one member and one ticker.
    pub(crate) const fn new(name: &'static str, messages: u8) -> Self {
        Self {
            name,
            messages,
            ordered: false,
            blocks: false,
            counts_references: false,
            start: None,
            members: 1,
            tickers: 1,
            whole_ticks: true,
            decides: false,
            merges: false,
            maintains: false,
            plain: Ids::up_to(messages),
            in_tx: Ids::NONE,
            budget: NOTHING,
            more: More {
                messages: 0,
                budget: NOTHING,
            },
            least_states: 1,
        }
    }

    /// For a longer run.
    pub(crate) fn larger(self) -> Self {
        let messages = self.messages + self.more.messages;
        let added = Ids::range(self.messages + 1, messages);
        Self {
            messages,
            // What is added is settled as is the last of the others.
            plain: if self.plain.has(self.messages) {
                self.plain.or(added)
            } else {
                self.plain
            },
            in_tx: if self.in_tx.has(self.messages) {
                self.in_tx.or(added)
            } else {
                self.in_tx
            },
            budget: self.budget.and(self.more.budget),
            ..self
        }
    }

    /// Whether it matters when a publisher draws its id, and when it reads mode and subscriptions.
    pub(crate) const fn splits_publishing(&self) -> bool {
        self.budget.mode_changes > 0 || self.start.is_some() || self.decides
    }
}
