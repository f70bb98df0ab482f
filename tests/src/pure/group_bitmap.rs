//! `GroupBitmap` against a plain set of indexes.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use fanout_core::{GroupBitmap, MAX_GROUPS};

#[derive(Arbitrary, Debug)]
enum Op {
    Set(bool, u16),
    Clear(bool, u16),
    Widen(bool, u16),
    Fresh(bool, u16),
    Swap,
    Union,
    Difference,
    Stored,
    NextUnset(u16),
}

type Model = BTreeSet<u16>;

fn check(set: &GroupBitmap, model: &Model) {
    assert!(set.iter().eq(model.iter().copied()));
    assert_eq!(set.count(), model.len());
    assert_eq!(set.is_empty(), model.is_empty());
    let highest = model.last().map_or(0, |index| usize::from(*index) / 8 + 1);
    assert!((highest..=usize::from(MAX_GROUPS) / 8).contains(&set.byte_width()));
}

/// # Panics
/// When it differs from the plain set.
pub fn group_bitmap(bytes: &[u8]) {
    let Some(ops) = super::read::<Vec<Op>>(bytes) else {
        return;
    };
    let mut sets = [GroupBitmap::new(), GroupBitmap::new()];
    let mut models = [Model::new(), Model::new()];
    for op in ops.into_iter().take(200) {
        match op {
            Op::Set(which, index) => {
                let (set, model) = (
                    &mut sets[usize::from(which)],
                    &mut models[usize::from(which)],
                );
                match set.set(index) {
                    Ok(is_new) => assert_eq!(is_new, model.insert(index)),
                    Err(error) => {
                        assert!(index >= MAX_GROUPS && error.index == usize::from(index));
                    }
                }
                assert_eq!(set.contains(index), index < MAX_GROUPS);
            }
            Op::Clear(which, index) => {
                let which = usize::from(which);
                let width = sets[which].byte_width();
                assert_eq!(sets[which].clear(index), models[which].remove(&index));
                assert_eq!(sets[which].byte_width(), width);
            }
            Op::Widen(which, bytes) => {
                let set = &mut sets[usize::from(which)];
                let width = set.byte_width().max(usize::from(bytes).min(512));
                set.widen(bytes.into());
                assert_eq!(set.byte_width(), width);
            }
            Op::Fresh(which, bits) => {
                let which = usize::from(which);
                sets[which] = GroupBitmap::with_width(bits);
                models[which].clear();
                let width = usize::from(bits).div_ceil(8).min(512);
                assert_eq!(sets[which].byte_width(), width);
            }
            Op::Swap => {
                sets.swap(0, 1);
                models.swap(0, 1);
            }
            Op::Union => {
                let width = sets[0].byte_width().max(sets[1].byte_width());
                sets[0] = sets[0].union(&sets[1]);
                models[0] = &models[0] | &models[1];
                assert_eq!(sets[0].byte_width(), width);
            }
            Op::Difference => {
                let width = sets[0].byte_width();
                sets[0] = sets[0].difference(&sets[1]);
                models[0] = &models[0] - &models[1];
                assert_eq!(sets[0].byte_width(), width);
            }
            Op::Stored => {
                let bytes = sets[0].to_bytes();
                for index in 0..bytes.len() * 8 {
                    let is_set = bytes[index / 8] >> (index % 8) & 1 == 1;
                    assert_eq!(is_set, models[0].contains(&(index as u16)));
                }
                let read = GroupBitmap::from_bytes(&bytes).expect("what was stored is read");
                assert_eq!(read.to_bytes(), bytes);
                let collected: GroupBitmap = models[0].iter().copied().collect();
                assert_eq!(collected, read);
            }
            Op::NextUnset(from) => {
                let next = (from..MAX_GROUPS).find(|index| !models[0].contains(index));
                assert_eq!(
                    sets[0].next_unset(from),
                    next.unwrap_or(MAX_GROUPS.max(from))
                );
            }
        }
        check(&sets[0], &models[0]);
        check(&sets[1], &models[1]);
        assert_eq!(sets[0] == sets[1], models[0] == models[1]);
        assert_eq!(sets[0].is_subset(&sets[1]), models[0].is_subset(&models[1]));
    }
}
