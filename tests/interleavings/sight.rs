//! What interleavings came to.

use std::collections::BTreeSet;

use fanout_core::{ErrorKind, Outcome, ReceiptForm};

use crate::history::{Event, Happened};
use crate::step::Step;

/// Something that shows that a race took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sight {
    /// A step waited for a lock of another session.
    Blocked,
    /// A settlement was refused as stale or fenced.
    Stale,
    /// A transaction failed against another.
    Conflict,
    /// A settlement within a transaction was refused.
    StaleIn,
    /// A message came a second time.
    Redelivered,
    OutOfOrder,
    /// A group got messages by tracking rows and by cursor.
    BothForms,
    /// A call found its subscription cancelled.
    Ended,
}

/// What a history shows.
pub(crate) fn seen(events: &[Event]) -> BTreeSet<Sight> {
    let mut seen = BTreeSet::new();
    let mut delivered = BTreeSet::new();
    let mut forms = BTreeSet::new();
    for event in events {
        if event.resumed > event.began {
            seen.insert(Sight::Blocked);
        }
        match &event.happened {
            Happened::Failed(ErrorKind::Conflict, _) => {
                seen.insert(Sight::Conflict);
            }
            Happened::Failed(ErrorKind::SubscriptionEnded, _) => {
                seen.insert(Sight::Ended);
            }
            Happened::Failed(ErrorKind::StaleReceipt, _) if event.step == Step::SettleIn => {
                seen.insert(Sight::StaleIn);
            }
            Happened::Fetched(deliveries) => {
                for delivery in deliveries {
                    let group = delivery.receipt.group();
                    let is_tracked = matches!(delivery.receipt.form(), ReceiptForm::Tracked(_));
                    forms.insert((group, is_tracked));
                    if forms.contains(&(group, !is_tracked)) {
                        seen.insert(Sight::BothForms);
                    }
                    if !delivered.insert((delivery.receipt.group(), delivery.message.id)) {
                        seen.insert(Sight::Redelivered);
                    }
                }
            }
            Happened::Settled(settled) => {
                seen.extend(settled.iter().filter_map(|(_, _, outcome)| match outcome {
                    Outcome::Stale | Outcome::Fenced => Some(Sight::Stale),
                    Outcome::OutOfOrder => Some(Sight::OutOfOrder),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    seen
}
