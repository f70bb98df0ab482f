//! How a member's process ends.

use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::args::K2Settings;

/// A commit that is cut off has had at most this long.
const LONGEST_COMMIT_MS: u64 = 3;

/// How a process crashes, in its next commit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It ends so long after the commit began.
    CutOff(Duration),
    /// It hangs for so long with messages in hand, commits them, and ends.
    Hang(Duration),
}

/// The fate of one process, which others decide.
#[derive(Debug, Default)]
pub(super) struct Doom(Mutex<Option<Fate>>);

impl Fate {
    pub(super) fn choose(settings: &K2Settings, random: &mut StdRng) -> Self {
        if random.random_range(0..100) < settings.hangs {
            // Lanes are taken over at 1 to 1.25 leases: now and then the commit comes just before,
            // or meanwhile.
            let lease = Duration::from_millis(settings.lease_ms.into());
            Self::Hang(lease.mul_f64(random.random_range(0.9..1.6)))
        } else {
            Self::CutOff(Duration::from_millis(
                random.random_range(0..=LONGEST_COMMIT_MS),
            ))
        }
    }
}

impl Doom {
    /// Decides, unless it is decided.
    pub(super) fn decide(&self, fate: Fate) {
        self.0.lock().get_or_insert(fate);
    }

    /// What is decided by now.
    pub(super) fn fate(&self) -> Option<Fate> {
        *self.0.lock()
    }
}
