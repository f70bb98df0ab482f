//! Sets of message ids that are mostly contiguous.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// A set of ids, kept as disjoint ranges that do not touch.
///
/// Its text is that of a Postgres `int8multirange`: `{[1,4),[9,10)}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdSet {
    /// Ascending, with a gap of one id at least between neighbours.
    ranges: Vec<(i64, i64)>,
}

impl IdSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Whether it has no ids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ranges it has.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// Its ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RangeInclusive<i64>> + '_ {
        self.ranges.iter().map(|&(first, last)| first..=last)
    }

    /// Whether an id is in it.
    #[must_use]
    pub fn contains(&self, id: i64) -> bool {
        let after = self.ranges.partition_point(|&(first, _)| first <= id);
        after > 0 && id <= self.ranges[after - 1].1
    }

    /// Adds an id; tells whether it was not there.
    pub fn insert(&mut self, id: i64) -> bool {
        let is_new = !self.contains(id);
        self.insert_range(id..=id);
        is_new
    }

    /// Adds a range; an empty one adds nothing.
    pub fn insert_range(&mut self, range: RangeInclusive<i64>) {
        let (mut first, mut last) = range.into_inner();
        if first > last {
            return;
        }
        // Those that overlap or touch it become one with it.
        let touching = if planted!(JoinsAcrossGaps) { 2 } else { 1 };
        let from = self
            .ranges
            .partition_point(|&(_, end)| end < first && first.saturating_sub(end) > touching);
        let to = self
            .ranges
            .partition_point(|&(start, _)| start <= last || start.saturating_sub(last) <= touching);
        if from < to {
            first = first.min(self.ranges[from].0);
            last = last.max(self.ranges[to - 1].1);
        }
        self.ranges.splice(from..to, [(first, last)]);
    }

    /// Removes an id; tells whether it was there.
    pub fn remove(&mut self, id: i64) -> bool {
        let after = self.ranges.partition_point(|&(first, _)| first <= id);
        let Some(index) = after
            .checked_sub(1)
            .filter(|index| id <= self.ranges[*index].1)
        else {
            return false;
        };
        let (first, last) = self.ranges[index];
        let left = (first < id).then(|| (first, id - 1));
        let right = (id < last).then(|| (id + 1, last));
        self.ranges
            .splice(index..=index, left.into_iter().chain(right));
        true
    }

    /// Removes every id up to this one.
    pub fn remove_up_to(&mut self, id: i64) {
        let gone = self.ranges.partition_point(|&(_, last)| last <= id);
        self.ranges.drain(..gone);
        if let Some(range) = self.ranges.first_mut()
            && range.0 <= id
        {
            range.0 = id + 1;
        }
    }

    /// The last id of the contiguous run that begins right after `after`; `after` when there is none.
    #[must_use]
    pub fn contiguous_after(&self, after: i64) -> i64 {
        let Some(next) = after.checked_add(1) else {
            return after;
        };
        let index = self.ranges.partition_point(|&(_, last)| last < next);
        match self.ranges.get(index) {
            Some(&(first, last)) if first <= next || planted!(RunsAcrossGaps) => last,
            _ => after,
        }
    }
}

/// The text is no set of ids.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a set of ids set=`{text}`")]
pub struct IdSetError {
    /// The text that was refused.
    pub text: String,
}

impl FromStr for IdSet {
    type Err = IdSetError;

    fn from_str(text: &str) -> Result<Self, IdSetError> {
        parse(text).ok_or_else(|| IdSetError {
            text: text.to_owned(),
        })
    }
}

/// As [`Display`](fmt::Display) writes it, and Postgres does.
fn parse(text: &str) -> Option<IdSet> {
    let mut set = IdSet::new();
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut rest = inner;
    while !rest.is_empty() {
        let (range, after) = rest.strip_prefix('[')?.split_once(')')?;
        let (first, end) = range.split_once(',')?;
        let last = match end {
            "" => i64::MAX,
            end => end.parse::<i64>().ok()?.checked_sub(1)?,
        };
        let first = first.parse().ok()?;
        if first > last {
            return None;
        }
        set.insert_range(first..=last);
        rest = after;
        if !rest.is_empty() {
            // Another range follows.
            rest = rest.strip_prefix(',').filter(|rest| !rest.is_empty())?;
        }
    }
    Some(set)
}

impl FromIterator<i64> for IdSet {
    fn from_iter<I: IntoIterator<Item = i64>>(ids: I) -> Self {
        let mut set = Self::new();
        set.extend(ids);
        set
    }
}

impl Extend<i64> for IdSet {
    fn extend<I: IntoIterator<Item = i64>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
}

impl fmt::Display for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, &(first, last)) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match last.checked_add(1) {
                Some(end) => write!(f, "[{first},{end})")?,
                None => write!(f, "[{first},)")?,
            }
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn elements(set: &IdSet) -> BTreeSet<i64> {
        set.iter().flatten().collect()
    }

    #[test]
    fn reads_as_a_multirange() {
        let set: IdSet = [3, 1, 2, 9].into_iter().collect();
        assert_eq!(set.to_string(), "{[1,4),[9,10)}");
        assert_eq!(IdSet::new().to_string(), "{}");
    }

    #[test]
    fn refuses_what_is_no_multirange() {
        for text in [
            "",
            "{",
            "[1,2)",
            "{[1,2]}",
            "{[2,1)}",
            "{[1,2)[3,4)}",
            "{[1,2),}",
            "{(1,2)}",
            "{[a,2)}",
        ] {
            assert!(text.parse::<IdSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_greatest_ids_are_ids_too() {
        let mut set = IdSet::new();
        set.insert(i64::MAX);
        set.insert_range(i64::MAX - 2..=i64::MAX - 1);
        assert_eq!(set.ranges(), 1);
        assert!(set.contains(i64::MAX));
        assert_eq!(set.contiguous_after(i64::MAX - 3), i64::MAX);
        assert_eq!(set.contiguous_after(i64::MAX), i64::MAX);
        set.insert_range(i64::MIN..=i64::MIN + 1);
        assert_eq!(set.ranges(), 2);
        set.remove_up_to(i64::MAX);
        assert!(set.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Change {
        Insert(i64),
        Range(i64, i64),
        Remove(i64),
        RemoveUpTo(i64),
    }

    fn change() -> impl Strategy<Value = Change> {
        let id = 0..60_i64;
        prop_oneof![
            4 => id.clone().prop_map(Change::Insert),
            2 => (id.clone(), 0..8_i64).prop_map(|(first, n)| Change::Range(first, first + n - 1)),
            2 => id.clone().prop_map(Change::Remove),
            1 => id.prop_map(Change::RemoveUpTo),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(changes in prop::collection::vec(change(), 0..60)) {
            let mut set = IdSet::new();
            let mut model = BTreeSet::new();
            for change in changes {
                match change {
                    Change::Insert(id) => prop_assert_eq!(set.insert(id), model.insert(id)),
                    Change::Range(first, last) => {
                        set.insert_range(first..=last);
                        model.extend(first..=last);
                    }
                    Change::Remove(id) => prop_assert_eq!(set.remove(id), model.remove(&id)),
                    Change::RemoveUpTo(id) => {
                        set.remove_up_to(id);
                        model.retain(|kept| *kept > id);
                    }
                }
                prop_assert_eq!(&elements(&set), &model);
                prop_assert_eq!(&set.to_string().parse::<IdSet>().unwrap(), &set);
                let ranges: Vec<_> = set.iter().collect();
                prop_assert!(ranges.windows(2).all(|pair| pair[1].start() - pair[0].end() > 1));
                for id in -1..70 {
                    prop_assert_eq!(set.contains(id), model.contains(&id));
                    let run = (id + 1..).take_while(|next| model.contains(next)).last();
                    prop_assert_eq!(set.contiguous_after(id), run.unwrap_or(id));
                }
            }
        }
    }
}
