//! Order per key.

use std::collections::{BTreeMap, HashMap};

use fanout_core::MessageId;

use super::{Fate, Known};

/// Pairs of messages of a key, the first of which had committed before the publish of the second began.
fn pairs(
    messages: &BTreeMap<MessageId, Known>,
) -> impl Iterator<Item = (MessageId, MessageId)> + '_ {
    let mut by_key: HashMap<&str, Vec<(MessageId, &Known)>> = HashMap::new();
    for (id, known) in messages {
        let key = known.key.as_deref().expect("all have keys");
        by_key.entry(key).or_default().push((*id, known));
    }
    by_key.into_values().flat_map(|of_key| {
        let mut pairs = Vec::new();
        for (a, first) in &of_key {
            for (b, second) in &of_key {
                if first.committed < second.began {
                    pairs.push((*a, *b));
                }
            }
        }
        pairs
    })
}

/// Asserts that of each such pair the first was first delivered, and was settled or parked, before the
/// second was settled; returns how many there are.
pub(crate) fn assert_order(
    messages: &BTreeMap<MessageId, Known>,
    fates: &BTreeMap<MessageId, Fate>,
) -> usize {
    let mut count = 0;
    for (a, b) in pairs(messages) {
        count += 1;
        let (first, second) = (&fates[&a], &fates[&b]);
        let history = || {
            let (known, later) = (&messages[&a], &messages[&b]);
            format!("{a}: {known:?} {first:?}\n{b}: {later:?} {second:?}")
        };
        assert!(
            first.first_delivered < second.first_delivered,
            "{b} was delivered before {a}\n{}",
            history()
        );
        assert!(
            second.settled > first.left_order,
            "{b} was settled before {a} was settled or parked\n{}",
            history()
        );
    }
    count
}
