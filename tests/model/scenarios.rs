//! Bounds to explore, each completely. What matters in one is left out of the others.

use crate::bounds::{Bounds, Budget, More, NOTHING, Start};
use crate::world::Ids;

const ONE_MESSAGE: More = More {
    messages: 1,
    budget: NOTHING,
};

const fn more(budget: Budget) -> More {
    More {
        messages: 0,
        budget,
    }
}

/// Publishers that commit in any order, two tickers, deciding, merging.
pub(crate) const TICKS: Bounds = Bounds {
    tickers: 2,
    whole_ticks: false,
    decides: true,
    merges: true,
    budget: Budget {
        rollbacks: 1,
        ..NOTHING
    },
    more: ONE_MESSAGE,
    least_states: 22_000,
    ..Bounds::new("ticks", 2)
};

/// Spans that are extended, also below what is settled.
pub(crate) const EXTENDING: Bounds = Bounds {
    ordered: true,
    budget: Budget {
        leases: 1,
        ..NOTHING
    },
    more: ONE_MESSAGE,
    least_states: 17_000,
    ..Bounds::new("extending", 3)
};

/// Two members, leases that end, a lane that is given up.
pub(crate) const LEASES: Bounds = Bounds {
    ordered: true,
    members: 2,
    budget: Budget {
        lane_leases: 1,
        leases: 1,
        given_up: 1,
        ..NOTHING
    },
    more: more(Budget {
        dropped_calls: 1,
        ..NOTHING
    }),
    least_states: 110_000,
    ..Bounds::new("leases", 2)
};

/// Calls that are dropped while their commit is under way.
pub(crate) const DROPPED_CALLS: Bounds = Bounds {
    ordered: true,
    budget: Budget {
        leases: 1,
        dropped_calls: 1,
        ..NOTHING
    },
    more: ONE_MESSAGE,
    least_states: 2_200,
    ..Bounds::new("dropped calls", 2)
};

/// Ticks are merged, and maintenance moves the cursor, while members come and go.
pub(crate) const MERGING: Bounds = Bounds {
    members: 2,
    merges: true,
    maintains: true,
    budget: Budget {
        lane_leases: 1,
        ..NOTHING
    },
    more: more(Budget {
        given_up: 1,
        ..NOTHING
    }),
    least_states: 96_000,
    ..Bounds::new("merging", 2)
};

/// A failure under order, beside a takeover.
pub(crate) const PARKING: Bounds = Bounds {
    ordered: true,
    members: 2,
    budget: Budget {
        lane_leases: 1,
        failures: 1,
        ..NOTHING
    },
    more: more(Budget {
        leases: 1,
        ..NOTHING
    }),
    least_states: 26_000,
    ..Bounds::new("parking", 2)
};

pub(crate) const BLOCKING: Bounds = Bounds {
    blocks: true,
    least_states: 43_000,
    ..Bounds {
        name: "blocking",
        ..PARKING
    }
};

/// Callers' transactions that settle by cursor a message which is delivered again and again.
pub(crate) const CURSOR_TX: Bounds = Bounds {
    members: 2,
    maintains: true,
    plain: Ids::NONE,
    in_tx: Ids::up_to(1),
    budget: Budget {
        lane_leases: 1,
        leases: 2,
        failures: 1,
        undone_settlements: 1,
        ..NOTHING
    },
    more: more(Budget {
        dropped_calls: 1,
        ..NOTHING
    }),
    least_states: 84_000,
    ..Bounds::new("cursor, in transactions", 1)
};

/// The same for two messages of a key.
pub(crate) const ORDERED_TX: Bounds = Bounds {
    ordered: true,
    plain: Ids::NONE,
    in_tx: Ids::up_to(2),
    budget: Budget {
        leases: 1,
        undone_settlements: 1,
        ..NOTHING
    },
    more: more(Budget {
        failures: 1,
        ..NOTHING
    }),
    least_states: 7_600,
    ..Bounds::new("cursor, in transactions, per key", 2)
};

/// A failure whose answer is lost, of a message that a caller's transaction settles meanwhile.
pub(crate) const LOST_FAILURE: Bounds = Bounds {
    plain: Ids::NONE,
    in_tx: Ids::up_to(1),
    budget: Budget {
        leases: 1,
        failures: 1,
        dropped_calls: 1,
        ..NOTHING
    },
    more: more(Budget {
        leases: 1,
        ..NOTHING
    }),
    least_states: 940,
    ..Bounds::new("a lost failure", 1)
};

/// Both kinds of settlement of one message.
pub(crate) const MIXED_TX: Bounds = Bounds {
    plain: Ids::up_to(1),
    least_states: 170_000,
    ..Bounds {
        name: "cursor, both ways",
        ..CURSOR_TX
    }
};

/// Tracking rows with all that may happen to them.
pub(crate) const ROWS: Bounds = Bounds {
    counts_references: true,
    plain: Ids::range(2, 2),
    in_tx: Ids::range(1, 1),
    budget: Budget {
        leases: 2,
        failures: 1,
        undone_settlements: 1,
        rollbacks: 1,
        ..NOTHING
    },
    more: ONE_MESSAGE,
    least_states: 26_000,
    ..Bounds::new("rows", 2)
};

/// A mode change and back, under an unordered group.
pub(crate) const MODES: Bounds = Bounds {
    counts_references: true,
    budget: Budget {
        mode_changes: 2,
        leases: 1,
        ..NOTHING
    },
    more: ONE_MESSAGE,
    least_states: 4_600,
    ..Bounds::new("modes", 2)
};

/// The same under a group that wants order.
pub(crate) const ORDERED_MODES: Bounds = Bounds {
    ordered: true,
    least_states: 3_900,
    ..Bounds {
        name: "modes, per key",
        ..MODES
    }
};

/// A group that subscribes while publishers of tracked messages are at work.
pub(crate) const STARTS_NOW: Bounds = Bounds {
    counts_references: true,
    start: Some(Start::Now),
    tickers: 2,
    decides: true,
    more: more(Budget {
        mode_changes: 1,
        ..NOTHING
    }),
    least_states: 140_000,
    ..Bounds::new("start, from now", 2)
};

/// The same where cursors read them, from a message.
pub(crate) const STARTS_AT_TWO: Bounds = Bounds {
    ordered: true,
    start: Some(Start::At(2)),
    more: ONE_MESSAGE,
    least_states: 6_600,
    ..Bounds {
        name: "start, from message 2",
        ..STARTS_NOW
    }
};

/// All at once.
pub(crate) const WHOLE: Bounds = Bounds {
    counts_references: true,
    members: 2,
    in_tx: Ids::range(1, 1),
    plain: Ids::range(2, 2),
    budget: Budget {
        mode_changes: 1,
        lane_leases: 1,
        failures: 1,
        ..NOTHING
    },
    more: more(Budget {
        leases: 1,
        ..NOTHING
    }),
    least_states: 310_000,
    ..Bounds::new("whole", 2)
};
