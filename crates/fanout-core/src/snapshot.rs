//! Which transactions a moment sees.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A Postgres snapshot: which transactions had committed or rolled back at a moment. Its text is that
/// of `pg_snapshot`: `xmin:xmax:in,progress`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    xmin: u64,
    xmax: u64,
    /// Ascending, each at least `xmin` and below `xmax`.
    in_progress: Vec<u64>,
}

/// The text is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a snapshot snapshot=`{text}`")]
pub struct SnapshotError {
    /// The text that was refused.
    pub text: String,
}

impl Snapshot {
    /// The snapshot that sees nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self {
            xmin: 1,
            xmax: 1,
            in_progress: Vec::new(),
        }
    }

    /// The oldest transaction that was in progress; every earlier one is seen.
    #[must_use]
    pub const fn xmin(&self) -> u64 {
        self.xmin
    }

    /// One above the newest transaction that had ended; this and every later one is not seen.
    #[must_use]
    pub const fn xmax(&self) -> u64 {
        self.xmax
    }

    /// The transactions between the two that were in progress, ascending.
    #[must_use]
    pub fn in_progress(&self) -> &[u64] {
        &self.in_progress
    }

    /// Whether it sees what a transaction wrote, provided that it committed.
    #[must_use]
    pub fn sees(&self, transaction: u64) -> bool {
        let was_open = |transaction| self.in_progress.binary_search(&transaction).is_ok();
        transaction < self.xmin
            || transaction < self.xmax && (planted!(SeesOpenTransactions) || !was_open(transaction))
    }

    /// Whether a transaction lies in the span from `earlier` to this one: seen here, not there.
    #[must_use]
    pub fn sees_since(&self, earlier: &Self, transaction: u64) -> bool {
        self.sees(transaction) && !earlier.sees(transaction)
    }

    /// Whether it sees all that `earlier` sees.
    #[must_use]
    pub fn includes(&self, earlier: &Self) -> bool {
        // Whatever lies below both bounds of `earlier` must be seen: only those in progress here,
        // and those from xmax on, are not.
        self.xmax >= earlier.xmax
            && (planted!(IncludesByEnd) || self.in_progress.iter().all(|open| !earlier.sees(*open)))
    }
}

impl FromStr for Snapshot {
    type Err = SnapshotError;

    fn from_str(text: &str) -> Result<Self, SnapshotError> {
        parse(text).ok_or_else(|| SnapshotError {
            text: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<Snapshot> {
    let mut parts = text.split(':');
    let (xmin, xmax, open) = (parts.next()?, parts.next()?, parts.next()?);
    let snapshot = Snapshot {
        xmin: number(xmin)?,
        xmax: number(xmax)?,
        in_progress: match open {
            "" => Vec::new(),
            open => open.split(',').map(number).collect::<Option<_>>()?,
        },
    };
    let open = &snapshot.in_progress;
    let is_sound = parts.next().is_none()
        && 0 < snapshot.xmin
        && snapshot.xmin <= snapshot.xmax
        && open.is_sorted_by(|a, b| a < b)
        && open.first().is_none_or(|first| *first >= snapshot.xmin)
        && open.last().is_none_or(|last| *last < snapshot.xmax);
    is_sound.then_some(snapshot)
}

/// Digits alone: `u64` would take a sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (index, open) in self.in_progress.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{open}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_postgres_writes() {
        for text in ["1:1:", "10:20:10,14,15", "748:748:"] {
            assert_eq!(text.parse::<Snapshot>().unwrap().to_string(), text);
        }
        assert_eq!("1:1:".parse::<Snapshot>().unwrap(), Snapshot::nothing());
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "", "1", "1:1", "1:1::", "0:1:", "2:1:", "1:9:3,2", "1:9:3,3", "2:9:1", "1:9:9",
            "1:9:,", "-1:9:", "+1:9:", "1:9:x", " 1:1:",
        ] {
            assert!(text.parse::<Snapshot>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_sees_nothing() {
        assert!((1..100).all(|transaction| !Snapshot::nothing().sees(transaction)));
    }

    /// Which of the transactions 1.. have ended, then more of them.
    fn ended() -> impl Strategy<Value = (Vec<bool>, Vec<bool>)> {
        prop::collection::vec((any::<bool>(), any::<bool>()), 1..24).prop_map(|pairs| {
            let before = pairs.iter().map(|(a, _)| *a).collect();
            let after = pairs.iter().map(|(a, b)| *a || *b).collect();
            (before, after)
        })
    }

    fn of(ended: &[bool]) -> Snapshot {
        let done = |index: usize| ended.get(index - 1).copied().unwrap_or(false);
        let xmax = (1..=ended.len()).rev().find(|x| done(*x)).unwrap_or(0) + 1;
        let open: Vec<u64> = (1..xmax).filter(|x| !done(*x)).map(|x| x as u64).collect();
        Snapshot {
            xmin: open.first().copied().unwrap_or(xmax as u64),
            xmax: xmax as u64,
            in_progress: open,
        }
    }

    proptest! {
        #[test]
        fn sees_exactly_what_had_ended((before, after) in ended()) {
            let (earlier, later) = (of(&before), of(&after));
            let seen = |snapshot: &Snapshot| -> BTreeSet<u64> {
                (1..40).filter(|x| snapshot.sees(*x)).collect()
            };
            let truth = |ended: &[bool]| -> BTreeSet<u64> {
                (1..40).filter(|x| ended.get(*x as usize - 1) == Some(&true)).collect()
            };
            prop_assert_eq!(seen(&earlier), truth(&before));
            prop_assert_eq!(seen(&later), truth(&after));
            prop_assert!(later.includes(&earlier));
            prop_assert_eq!(earlier.includes(&later), before == after);
            let span: BTreeSet<u64> = (1..40).filter(|x| later.sees_since(&earlier, *x)).collect();
            let new: BTreeSet<u64> = seen(&later).difference(&seen(&earlier)).copied().collect();
            prop_assert_eq!(span, new);
            prop_assert_eq!(later.to_string().parse::<Snapshot>().unwrap(), later);
        }
    }
}
