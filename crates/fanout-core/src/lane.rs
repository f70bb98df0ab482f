//! Which lane a message belongs to.
//!
//! A lane is a hash bucket of the message key: the unit of leases and of order. The assignment is
//! part of the stored format, since every engine and the SQL function `fanout.publish` must
//! agree on it for as long as the topic lives.

use md5::{Digest, Md5};

/// How many lanes a topic has unless it says otherwise.
pub const DEFAULT_LANES: u16 = 8;

/// How many lanes a topic can have: each costs a cursor and a lease per group.
pub const MAX_LANES: u16 = 1024;

/// The lane, below `lanes`, of the message with this key, or with this id if it has none.
///
/// With a key: the first four bytes of the MD5 of its UTF-8 bytes, read big-endian, modulo `lanes`;
/// in Postgres `('x' || substr(md5(key), 1, 8))::bit(32)::bigint % lanes`. An empty key is a key.
/// Without one: `id` modulo `lanes`, which spreads consecutive ids evenly. Ids are never negative;
/// should one be, the least non-negative remainder counts.
///
/// # Panics
///
/// If `lanes` is zero.
///
/// ```
/// use fanout_core::lane_of;
///
/// assert_eq!(lane_of(Some("order-42"), 7, 8), 4);
/// assert_eq!(lane_of(Some("order-42"), 8, 8), 4);
/// assert_eq!(lane_of(None, 11, 8), 3);
/// ```
#[must_use]
pub fn lane_of(key: Option<&str>, id: i64, lanes: u16) -> u16 {
    assert!(lanes > 0, "a topic has at least one lane");
    let hash = key.map_or(id, |key| {
        let [a, b, c, d, ..]: [u8; 16] = Md5::digest(key).into();
        u32::from_be_bytes([a, b, c, d]).into()
    });
    // Cannot truncate: the remainder is below `lanes`.
    hash.rem_euclid(lanes.into()) as u16
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// `('x' || substr(md5(key), 1, 8))::bit(32)::bigint % lanes` as Postgres 15 answers it, for
    /// 1, 7, 8, 16, 1000 and 1024 lanes.
    const VECTORS: [(&str, [u16; 6]); 6] = [
        ("a", [0, 1, 1, 9, 177, 441]),
        ("", [0, 4, 1, 9, 393, 217]),
        ("order-42", [0, 5, 4, 12, 308, 780]),
        ("käse", [0, 1, 1, 1, 657, 337]),
        ("日本語", [0, 0, 0, 8, 920, 760]),
        ("customer:1234567890", [0, 3, 4, 4, 852, 180]),
    ];

    #[test]
    fn keys_hash_as_in_postgres() {
        for (key, expected) in VECTORS {
            let lanes = [1, 7, 8, 16, 1000, 1024].map(|lanes| lane_of(Some(key), 5, lanes));
            assert_eq!(lanes, expected, "{key}");
        }
    }

    #[test]
    fn ids_without_a_key_go_round() {
        let lanes: Vec<_> = (6..12).map(|id| lane_of(None, id, DEFAULT_LANES)).collect();
        assert_eq!(lanes, [6, 7, 0, 1, 2, 3]);
        assert_eq!(lane_of(None, i64::MAX, 1000), 807);
        assert_eq!(lane_of(None, -1, 8), 7);
    }

    #[test]
    fn many_keys_reach_every_lane() {
        let used: BTreeSet<_> = (0..500)
            .map(|n| lane_of(Some(&format!("key-{n}")), 0, DEFAULT_LANES))
            .collect();
        assert_eq!(used, (0..DEFAULT_LANES).collect());
    }

    #[test]
    #[should_panic(expected = "at least one lane")]
    fn no_lanes_is_a_mistake() {
        let _ = lane_of(Some("a"), 0, 0);
    }

    proptest! {
        #[test]
        fn a_key_alone_decides_its_lane(
            key in ".*",
            ids in (any::<i64>(), any::<i64>()),
            lanes in 1..=MAX_LANES,
        ) {
            let lane = lane_of(Some(&key), ids.0, lanes);
            prop_assert!(lane < lanes);
            prop_assert_eq!(lane, lane_of(Some(&key), ids.1, lanes));
            // Halving the lanes folds them: the hash itself does not depend on their number.
            prop_assert_eq!(lane_of(Some(&key), ids.0, lanes * 2) % lanes, lane);
        }

        #[test]
        fn an_id_alone_decides_without_a_key(id in 0..=i64::MAX, lanes in 1..=MAX_LANES) {
            prop_assert_eq!(i64::from(lane_of(None, id, lanes)), id % i64::from(lanes));
        }

        #[test]
        fn any_lane_count_and_id_are_in_range(
            key in proptest::option::of(".*"),
            id in any::<i64>(),
            lanes in 1..=u16::MAX,
        ) {
            prop_assert!(lane_of(key.as_deref(), id, lanes) < lanes);
        }
    }
}
