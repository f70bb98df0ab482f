use super::Ids;

/// A row of `outbox_ticks`. Tick 0 is not stored here: it sees nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tick {
    pub(crate) number: u8,
    /// The snapshot.
    pub(crate) seen: Ids,
    /// `id_ranges`: where spans that end here are read.
    pub(crate) ranges: Ids,
    pub(crate) decided: u8,
}

/// A call of `tick_<topic>` under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Ticker {
    #[default]
    Idle,
    /// Waits for the lock with what it has read before: planted mistakes only.
    Waiting {
        prev: Tick,
        seen: Option<Ids>,
    },
    Locked {
        prev: Tick,
        seen: Option<Ids>,
    },
    /// Has read the decided id.
    Ready {
        prev: Tick,
        seen: Option<Ids>,
        decided: u8,
    },
    Inserted(Tick),
}

impl Ticker {
    pub(crate) const fn has_lock(&self) -> bool {
        !matches!(self, Self::Idle | Self::Waiting { .. })
    }
}
