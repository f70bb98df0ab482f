//! `IdSet` against a plain set of ids.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use fanout_core::IdSet;

#[derive(Arbitrary, Debug)]
enum Op {
    Insert(u8),
    Range(u8, u8),
    Remove(u8),
    RemoveUpTo(u8),
    Extend(u8, u8),
}

/// Where the small range of ids lies: in the middle, or at either end of `i64`.
const BASES: [i64; 3] = [-128, i64::MIN, i64::MAX - 255];

/// # Panics
/// When it differs from the plain set.
pub fn id_set(bytes: &[u8]) {
    let Some((base, ops)) = super::read::<(u8, Vec<Op>)>(bytes) else {
        return;
    };
    let base = BASES[usize::from(base) % BASES.len()];
    let id = |offset: u8| base + i64::from(offset);
    let mut set = IdSet::new();
    let mut model = BTreeSet::new();
    for op in ops.into_iter().take(100) {
        match op {
            Op::Insert(at) => assert_eq!(set.insert(id(at)), model.insert(id(at))),
            Op::Range(first, last) => {
                set.insert_range(id(first)..=id(last));
                model.extend(id(first)..=id(last));
            }
            Op::Remove(at) => assert_eq!(set.remove(id(at)), model.remove(&id(at))),
            Op::RemoveUpTo(at) => {
                set.remove_up_to(id(at));
                model.retain(|kept| *kept > id(at));
            }
            Op::Extend(a, b) => {
                set.extend([id(a), id(b)]);
                model.extend([id(a), id(b)]);
            }
        }
        let ranges: Vec<_> = set.iter().collect();
        assert!(ranges.iter().all(|range| !range.is_empty()));
        for pair in ranges.windows(2) {
            let gap = i128::from(*pair[1].start()) - i128::from(*pair[0].end());
            assert!(gap > 1, "out of order, or touching: {set}");
        }
        assert_eq!(ranges.len(), set.ranges());
        assert_eq!(set.is_empty(), model.is_empty());
        assert!(ranges.into_iter().flatten().eq(model.iter().copied()));
    }
    let mut run = None;
    for at in (0..=u8::MAX).map(id).rev() {
        // The end of the run that begins right after `at`.
        assert_eq!(set.contiguous_after(at), run.unwrap_or(at));
        assert_eq!(set.contains(at), model.contains(&at));
        run = model.contains(&at).then(|| run.unwrap_or(at));
    }
    assert_eq!(model.iter().copied().collect::<IdSet>(), set);
    assert_eq!(set.to_string().parse::<IdSet>().as_ref(), Ok(&set));
}
