//! Order per key.

use std::collections::BTreeMap;

use fanout_core::{Delivery, MessageId};

/// Asserts that these messages, published one after the other, were delivered in order per key.
#[track_caller]
pub(crate) fn in_order(deliveries: &[Delivery], promise: &str) {
    for (key, ids) in by_key(deliveries) {
        assert!(
            ids.is_sorted_by(|a, b| a < b),
            "{promise}; of key {key:?} came {ids:?}"
        );
    }
}

/// The ids of each key, in the order of delivery. Messages without a key are left out.
pub(crate) fn by_key(deliveries: &[Delivery]) -> BTreeMap<String, Vec<MessageId>> {
    let mut keys: BTreeMap<String, Vec<MessageId>> = BTreeMap::new();
    for delivery in deliveries {
        if let Some(key) = &delivery.message.key {
            keys.entry(key.clone())
                .or_default()
                .push(delivery.message.id);
        }
    }
    keys
}
