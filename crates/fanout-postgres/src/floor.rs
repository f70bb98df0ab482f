//! The id up to which a group is known to owe nothing.

use crate::storage::tracking::Publishers;

/// What [`Floor`] asks the database for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Which publishers are open, and which of these still are.
    Publishers(Vec<String>),
    /// The lowest message above this id that the group owes.
    LowestOwed(i64),
}

/// Where a group's claims may begin to scan: an id up to which the group owes nothing and never will.
///
/// Rows below it are gone, but their index entries stay until vacuum; without a floor every claim
/// walks them again. The floor never rises above the *decided id*, up to which every publisher has
/// ended: read the sequence, list the publishers, wait until those have ended, and until the log of
/// that time is on disk, because a crash takes an unlogged sequence back. Only then is the lowest owed
/// message read. Questions and answers alternate: whoever asks holds the floor until it has answered.
/// It must not rise while anything below it may be given to the group again.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    value: i64,
    candidate: Option<Candidate>,
    decided: i64,
}

/// An id, the publishers that may still bring one up to it, and the log that must be on disk.
#[derive(Debug)]
struct Candidate {
    id: i64,
    open: Vec<String>,
    written: i64,
}

impl Floor {
    pub(crate) const fn value(&self) -> i64 {
        self.value
    }

    /// What to ask; the answer is given to [`publishers`](Self::publishers) or
    /// [`lowest_owed`](Self::lowest_owed).
    pub(crate) fn question(&self) -> Question {
        if self.decided > self.value {
            return Question::LowestOwed(self.value);
        }
        Question::Publishers(
            self.candidate
                .as_ref()
                .map_or_else(Vec::new, |c| c.open.clone()),
        )
    }

    pub(crate) fn publishers(&mut self, seen: Publishers) {
        if seen.drawn < self.value {
            // The sequence went back, which only a lost server can do to it: begin anew.
            *self = Self::default();
        }
        match &mut self.candidate {
            Some(candidate) if !seen.remaining.is_empty() || seen.flushed < candidate.written => {
                candidate.open = seen.remaining;
                return;
            }
            Some(candidate) => self.decided = self.decided.max(candidate.id),
            None => {}
        }
        let newest = Candidate {
            id: seen.drawn,
            open: seen.open,
            written: seen.written,
        };
        if newest.open.is_empty() && seen.flushed >= newest.written {
            self.decided = self.decided.max(newest.id);
            self.candidate = None;
        } else {
            self.candidate = Some(newest);
        }
    }

    /// `lowest` was read after the decided id was known.
    pub(crate) fn lowest_owed(&mut self, lowest: Option<i64>) {
        let free = lowest.map_or(self.decided, |lowest| (lowest - 1).min(self.decided));
        self.value = self.value.max(free);
        // Ask for the lowest again when something new is decided, not at once.
        self.decided = self.value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// With all of the log on disk.
    fn seen(drawn: i64, open: &[&str], remaining: &[&str]) -> Publishers {
        let (open, remaining) = (names(open), names(remaining));
        Publishers {
            drawn,
            open,
            remaining,
            written: 7,
            flushed: 7,
        }
    }

    #[test]
    fn rises_to_what_was_drawn_when_nobody_publishes() {
        let mut floor = Floor::default();
        assert_eq!(floor.question(), Question::Publishers(vec![]));
        floor.publishers(seen(10, &[], &[]));
        assert_eq!(floor.question(), Question::LowestOwed(0));
        floor.lowest_owed(None);
        assert_eq!(floor.value(), 10);
    }

    #[test]
    fn waits_for_every_publisher_that_was_open() {
        let mut floor = Floor::default();
        floor.publishers(seen(10, &["a", "b"], &[]));
        assert_eq!(floor.question(), Question::Publishers(names(&["a", "b"])));
        floor.publishers(seen(20, &["b", "c"], &["b"]));
        assert_eq!(floor.value(), 0);
        assert_eq!(
            floor.question(),
            Question::Publishers(names(&["b"])),
            "not for later ones"
        );
        floor.publishers(seen(30, &["c"], &[]));
        assert_eq!(floor.question(), Question::LowestOwed(0));
        floor.lowest_owed(None);
        assert_eq!(floor.value(), 10, "what was drawn later is not decided");
        assert_eq!(floor.question(), Question::Publishers(names(&["c"])));
    }

    #[test]
    fn waits_until_the_log_is_on_disk() {
        let mut floor = Floor::default();
        floor.publishers(Publishers {
            written: 100,
            flushed: 90,
            ..seen(10, &[], &[])
        });
        assert_eq!(
            floor.question(),
            Question::Publishers(vec![]),
            "a crash may take the ids back"
        );
        floor.publishers(Publishers {
            written: 200,
            flushed: 99,
            ..seen(20, &[], &[])
        });
        assert_eq!(floor.question(), Question::Publishers(vec![]));
        floor.publishers(Publishers {
            written: 300,
            flushed: 100,
            ..seen(30, &[], &[])
        });
        assert_eq!(floor.question(), Question::LowestOwed(0));
        floor.lowest_owed(None);
        assert_eq!(floor.value(), 10);
    }

    #[test]
    fn stays_below_what_is_owed() {
        let mut floor = Floor::default();
        floor.publishers(seen(10, &[], &[]));
        floor.lowest_owed(Some(4));
        assert_eq!(floor.value(), 3);
        assert_eq!(
            floor.question(),
            Question::Publishers(vec![]),
            "asks afresh"
        );
        floor.publishers(seen(10, &[], &[]));
        assert_eq!(floor.question(), Question::LowestOwed(3));
        floor.lowest_owed(Some(4));
        assert_eq!(floor.value(), 3, "never falls");
    }

    #[test]
    fn begins_anew_when_the_sequence_went_back() {
        let mut floor = Floor::default();
        floor.publishers(seen(334, &[], &[]));
        floor.lowest_owed(None);
        assert_eq!(floor.value(), 334);
        floor.publishers(seen(134, &["a"], &[]));
        assert_eq!(floor.value(), 0);
    }
}
