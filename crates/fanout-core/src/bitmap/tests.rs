//! Examples, and properties against a `BTreeSet` of indexes.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

const LAST: u16 = MAX_GROUPS - 1;

/// Mostly low indexes, where sets collide, and some anywhere.
fn index() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 0..24_u16, 1 => 0..MAX_GROUPS, 1 => Just(LAST)]
}

fn indexes() -> impl Strategy<Value = BTreeSet<u16>> {
    btree_set(index(), 0..24)
}

fn bitmap(set: &BTreeSet<u16>) -> GroupBitmap {
    set.iter().copied().collect()
}

fn model(set: &GroupBitmap) -> BTreeSet<u16> {
    (0..MAX_GROUPS)
        .filter(|index| set.contains(*index))
        .collect()
}

#[derive(Clone, Debug)]
enum Op {
    Set(u16),
    Clear(u16),
    Widen(usize),
    Reload,
}

fn op() -> impl Strategy<Value = Op> {
    let any_index = prop_oneof![9 => index(), 1 => any::<u16>()];
    prop_oneof![
        4 => any_index.clone().prop_map(Op::Set),
        3 => any_index.prop_map(Op::Clear),
        1 => (0..600_usize).prop_map(Op::Widen),
        1 => Just(Op::Reload),
    ]
}

#[test]
fn an_index_out_of_range_is_refused_and_changes_nothing() {
    let mut set = GroupBitmap::new();
    assert_eq!(
        set.set(MAX_GROUPS),
        Err(GroupIndexOutOfRange { index: 4096 })
    );
    assert_eq!(
        set.set(u16::MAX),
        Err(GroupIndexOutOfRange { index: 65535 })
    );
    assert_eq!(set.byte_width(), 0);
    assert_eq!(set.set(LAST), Ok(true));
    assert_eq!(set.byte_width(), 512);
    let error = GroupIndexOutOfRange { index: 4096 };
    assert_eq!(
        error.to_string(),
        "group index is out of range: index=`4096` limit=`4096`"
    );
}

#[test]
#[should_panic(expected = "index=`4096`")]
fn collecting_an_index_out_of_range_panics() {
    let _: GroupBitmap = [1, MAX_GROUPS].into_iter().collect();
}

/// The expected bytes are what Postgres 15 answers to `set_bit(…, n, 1)` on a zeroed `bytea`.
#[test]
fn bytes_are_numbered_as_postgres_numbers_them() {
    let vectors: [(&[u16], &[u8]); 6] = [
        (&[0], &[0x01]),
        (&[7], &[0x80]),
        (&[8], &[0x00, 0x01]),
        (&[0, 9], &[0x01, 0x02]),
        (&[3, 12, 23], &[0x08, 0x10, 0x80]),
        (&[1, 2, 30], &[0x06, 0x00, 0x00, 0x40]),
    ];
    for (indexes, bytes) in vectors {
        let set: GroupBitmap = indexes.iter().copied().collect();
        assert_eq!(set.to_bytes(), bytes, "{set:?}");
        assert_eq!(GroupBitmap::from_bytes(bytes).unwrap(), set);
    }
}

#[test]
fn stored_bytes_beyond_the_limit_must_be_zero() {
    let mut bytes = vec![0; 600];
    bytes[511] = 0x80;
    let set = GroupBitmap::from_bytes(&bytes).unwrap();
    assert_eq!(
        (set.iter().collect::<Vec<_>>(), set.byte_width()),
        (vec![LAST], 512)
    );
    bytes[513] = 0b0001_0100;
    bytes[599] = 1;
    let error = GroupBitmap::from_bytes(&bytes).unwrap_err();
    assert_eq!(error, GroupIndexOutOfRange { index: 513 * 8 + 2 });
}

#[test]
fn width_is_whole_bytes_and_capped() {
    let widths = [0, 1, 8, 9, LAST, u16::MAX].map(GroupBitmap::with_width);
    assert_eq!(
        widths.each_ref().map(GroupBitmap::byte_width),
        [0, 1, 1, 2, 512, 512]
    );
    assert!(widths.iter().all(GroupBitmap::is_empty));
    assert!(widths.iter().all(|set| *set == GroupBitmap::new()));
}

#[test]
fn a_full_set_has_no_index_left() {
    let full: GroupBitmap = (0..MAX_GROUPS).collect();
    assert_eq!(full.next_unset(0), MAX_GROUPS);
    assert_eq!(full.next_unset(LAST), MAX_GROUPS);
    assert_eq!(full.next_unset(u16::MAX), u16::MAX);
    assert_eq!(GroupBitmap::new().next_unset(5000), 5000);
}

#[test]
fn debug_shows_a_set() {
    let set: GroupBitmap = [9, 0].into_iter().collect();
    assert_eq!(format!("{set:?}"), "{0, 9}");
}

proptest! {
    #[test]
    fn behaves_as_a_set_under_any_operations(start in 0..100_u16, ops in vec(op(), 0..60)) {
        let mut set = GroupBitmap::with_width(start);
        let mut expected = BTreeSet::new();
        for op in ops {
            let width = set.byte_width();
            let mut needed = width;
            match op {
                Op::Set(index) if index < MAX_GROUPS => {
                    prop_assert_eq!(set.set(index), Ok(expected.insert(index)));
                    needed = width.max(usize::from(index) / 8 + 1);
                }
                Op::Set(index) => {
                    let index_out = GroupIndexOutOfRange { index: index.into() };
                    prop_assert_eq!(set.set(index), Err(index_out));
                }
                Op::Clear(index) => prop_assert_eq!(set.clear(index), expected.remove(&index)),
                Op::Widen(bytes) => {
                    set.widen(bytes);
                    needed = width.max(bytes.min(512));
                }
                Op::Reload => set = GroupBitmap::from_bytes(&set.to_bytes()).unwrap(),
            }
            prop_assert_eq!(set.byte_width(), needed);
            prop_assert!(set.iter().eq(expected.iter().copied()));
            prop_assert_eq!(set.count(), expected.len());
            prop_assert_eq!(set.is_empty(), expected.is_empty());
            prop_assert!(!set.contains(MAX_GROUPS));
        }
        prop_assert_eq!(model(&set), expected);
    }

    #[test]
    fn union_difference_and_subset_are_those_of_sets(a in indexes(), b in indexes()) {
        let (set_a, set_b) = (bitmap(&a), bitmap(&b));
        let union = set_a.union(&set_b);
        prop_assert_eq!(model(&union), &a | &b);
        prop_assert_eq!(union.byte_width(), set_a.byte_width().max(set_b.byte_width()));
        prop_assert_eq!(model(&set_a.difference(&set_b)), &a - &b);
        prop_assert_eq!(set_a.difference(&set_b).byte_width(), set_a.byte_width());
        prop_assert_eq!(set_a.is_subset(&set_b), a.is_subset(&b));
        prop_assert_eq!(set_a == set_b, a == b);
        // Random sets are seldom subsets of each other; these are by construction.
        prop_assert!(set_a.is_subset(&union));
        prop_assert_eq!(union.is_subset(&set_a), b.is_subset(&a));
    }

    #[test]
    fn equality_ignores_width(a in indexes(), flipped in index(), bytes in 0..600_usize) {
        let set = bitmap(&a);
        let mut wider = set.clone();
        wider.widen(bytes);
        prop_assert_eq!(&wider, &set);
        prop_assert_eq!(&set, &wider);
        if !wider.clear(flipped) {
            wider.set(flipped).unwrap();
        }
        prop_assert_ne!(&wider, &set);
        prop_assert_ne!(&set, &wider);
    }

    #[test]
    fn bit_n_is_bit_n_mod_8_of_byte_n_div_8(a in indexes()) {
        let bytes = bitmap(&a).to_bytes();
        let decoded: BTreeSet<u16> = (0..MAX_GROUPS)
            .filter(|n| bytes.get(usize::from(n / 8)).is_some_and(|byte| byte >> (n % 8) & 1 == 1))
            .collect();
        prop_assert_eq!(decoded, a);
    }

    #[test]
    fn any_bytes_survive_a_round_trip(bytes in vec(any::<u8>(), 0..=512)) {
        prop_assert_eq!(GroupBitmap::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    }

    #[test]
    fn next_unset_is_the_lowest_absent_index(
        mut a in indexes(),
        run in (0..40_u16, 0..40_u16),
        from in prop_oneof![4 => 0..48_u16, 1 => any::<u16>()],
    ) {
        a.extend(run.0..run.0 + run.1);
        let expected = (from..=u16::MAX).find(|index| !a.contains(index));
        prop_assert_eq!(Some(bitmap(&a).next_unset(from)), expected);
    }
}
