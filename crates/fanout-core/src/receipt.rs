//! Receipts: what a member gives back to settle a delivery.

use serde::{Deserialize, Serialize};

use crate::{GroupIndex, Lane, MessageId, SubscriptionId, TopicId};

/// What identifies one delivery, to settle, extend or release it.
///
/// Opaque to consumers. It can be serialised, and used by any member of the same group: that of a
/// [tracked](ReceiptForm::Tracked) message in any process, that of a message read by
/// [cursor](ReceiptForm::Cursor) in the process that fetched it. A receipt whose message was
/// delivered again, settled or released is *stale*: using it changes nothing and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Receipt(ReceiptForm);

impl Receipt {
    /// For engines: wraps what the engine needs.
    #[must_use]
    pub const fn new(form: ReceiptForm) -> Self {
        Self(form)
    }

    /// For engines: what was wrapped.
    #[must_use]
    pub const fn form(&self) -> &ReceiptForm {
        &self.0
    }

    /// The topic that the message belongs to.
    #[must_use]
    pub const fn topic(&self) -> TopicId {
        match self.0 {
            ReceiptForm::Tracked(TrackedReceipt { topic, .. })
            | ReceiptForm::Cursor(CursorReceipt { topic, .. }) => topic,
        }
    }

    /// The subscription that it was delivered to.
    #[must_use]
    pub const fn subscription(&self) -> SubscriptionId {
        match self.0 {
            ReceiptForm::Tracked(TrackedReceipt { subscription, .. })
            | ReceiptForm::Cursor(CursorReceipt { subscription, .. }) => subscription,
        }
    }

    /// The bit that the group had then; others may have it later.
    #[must_use]
    pub const fn group(&self) -> GroupIndex {
        match self.0 {
            ReceiptForm::Tracked(TrackedReceipt { group, .. })
            | ReceiptForm::Cursor(CursorReceipt { group, .. }) => group,
        }
    }

    /// The message.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        match self.0 {
            ReceiptForm::Tracked(TrackedReceipt { id, .. })
            | ReceiptForm::Cursor(CursorReceipt { id, .. }) => id,
        }
    }

    /// The attempt that was delivered.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        match self.0 {
            ReceiptForm::Tracked(TrackedReceipt { attempt, .. })
            | ReceiptForm::Cursor(CursorReceipt { attempt, .. }) => attempt,
        }
    }
}

/// For engines: the two forms of a receipt. A settlement is routed by its form, never by the
/// present mode of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReceiptForm {
    /// Accounted for by a tracking row of its own.
    #[serde(rename = "t")]
    Tracked(TrackedReceipt),
    /// Accounted for by a cursor.
    #[serde(rename = "c")]
    Cursor(CursorReceipt),
}

/// For engines: a delivery of a tracking row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TrackedReceipt {
    /// The topic.
    pub topic: TopicId,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The group's bit.
    pub group: GroupIndex,
    /// The message.
    pub id: MessageId,
    /// The attempt.
    pub attempt: u32,
    /// The token of the lease.
    pub token: i64,
}

/// For engines: a delivery of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CursorReceipt {
    /// The topic.
    pub topic: TopicId,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The group's bit.
    pub group: GroupIndex,
    /// The lane.
    pub lane: Lane,
    /// The message.
    pub id: MessageId,
    /// The attempt.
    pub attempt: u32,
    /// The epoch of the lane's owner.
    pub epoch: i64,
    /// The number of the delivery within the epoch.
    pub delivery: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_serialisation_in_either_form() {
        let (topic, group, id) = (TopicId(7), GroupIndex(3), MessageId(1 << 40));
        let subscription = SubscriptionId(5);
        let forms = [
            ReceiptForm::Tracked(TrackedReceipt {
                topic,
                subscription,
                group,
                id,
                attempt: 2,
                token: -5,
            }),
            ReceiptForm::Cursor(CursorReceipt {
                topic,
                subscription,
                group,
                lane: Lane(1),
                id,
                attempt: 2,
                epoch: 9,
                delivery: 4,
            }),
        ];
        for form in forms {
            let receipt = Receipt::new(form);
            let text = serde_json::to_string(&receipt).unwrap();
            assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap(), receipt);
            assert_eq!(
                (receipt.topic(), receipt.subscription(), receipt.group()),
                (topic, subscription, group)
            );
            assert_eq!(receipt.id(), id);
            assert_eq!(receipt.attempt(), 2);
        }
    }
}
