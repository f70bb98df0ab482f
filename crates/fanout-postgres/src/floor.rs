//! The id up to which a group is known to owe nothing.

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
/// ended: read the sequence, list the publishers, wait until those have ended. Only then is the lowest
/// owed message read. It must not rise while anything below it may be given to the group again.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    value: i64,
    /// An id, and the publishers that may still bring one up to it.
    candidate: Option<(i64, Vec<String>)>,
    decided: i64,
}

impl Floor {
    pub(crate) const fn value(&self) -> i64 {
        self.value
    }

    /// What to ask; each answer is given to [`publishers`](Self::publishers) or
    /// [`lowest_owed`](Self::lowest_owed).
    pub(crate) fn question(&self) -> Question {
        if self.decided > self.value {
            return Question::LowestOwed(self.value);
        }
        Question::Publishers(
            self.candidate
                .as_ref()
                .map_or_else(Vec::new, |(_, open)| open.clone()),
        )
    }

    /// `drawn` was read before the publishers were listed; `remaining` are those asked for that are
    /// still open.
    pub(crate) fn publishers(&mut self, drawn: i64, open: Vec<String>, remaining: Vec<String>) {
        self.candidate = match self.candidate.take() {
            Some((id, _)) if !remaining.is_empty() => Some((id, remaining)),
            ended => {
                if let Some((id, _)) = ended {
                    self.decided = self.decided.max(id);
                }
                if open.is_empty() {
                    self.decided = self.decided.max(drawn);
                    None
                } else {
                    Some((drawn, open))
                }
            }
        };
    }

    /// `lowest` was read after the decided id was known.
    pub(crate) fn lowest_owed(&mut self, lowest: Option<i64>) {
        let free = lowest.map_or(self.decided, |lowest| (lowest - 1).min(self.decided));
        self.value = self.value.max(free);
        if self.value < self.decided {
            // Ask for the lowest again next time, not at once.
            self.decided = self.value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn rises_to_what_was_drawn_when_nobody_publishes() {
        let mut floor = Floor::default();
        assert_eq!(floor.question(), Question::Publishers(vec![]));
        floor.publishers(10, vec![], vec![]);
        assert_eq!(floor.question(), Question::LowestOwed(0));
        floor.lowest_owed(None);
        assert_eq!(floor.value(), 10);
    }

    #[test]
    fn waits_for_every_publisher_that_was_open() {
        let mut floor = Floor::default();
        floor.publishers(10, open(&["a", "b"]), vec![]);
        assert_eq!(floor.question(), Question::Publishers(open(&["a", "b"])));
        floor.publishers(20, open(&["b", "c"]), open(&["b"]));
        assert_eq!(floor.value(), 0);
        assert_eq!(
            floor.question(),
            Question::Publishers(open(&["b"])),
            "not for later ones"
        );
        floor.publishers(30, open(&["c"]), vec![]);
        assert_eq!(floor.question(), Question::LowestOwed(0));
        floor.lowest_owed(None);
        assert_eq!(floor.value(), 10, "what was drawn later is not decided");
    }

    #[test]
    fn stays_below_what_is_owed() {
        let mut floor = Floor::default();
        floor.publishers(10, vec![], vec![]);
        floor.lowest_owed(Some(4));
        assert_eq!(floor.value(), 3);
        assert_eq!(
            floor.question(),
            Question::Publishers(vec![]),
            "asks afresh"
        );
        floor.publishers(10, vec![], vec![]);
        assert_eq!(floor.question(), Question::LowestOwed(3));
        floor.lowest_owed(Some(4));
        assert_eq!(floor.value(), 3, "never falls");
    }
}
