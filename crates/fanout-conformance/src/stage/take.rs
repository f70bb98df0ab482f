//! Fetching: a fetch may return less than there is, so these repeat it.

use std::sync::Arc;

use fanout_core::{Delivery, Member, MemberExt, MessageId, Outcome, Receipt, Settlement};
use tokio::task::yield_now;

/// So many fetches in a row that return nothing: there is nothing.
const QUIET: usize = 10;
/// More fetches than could be needed.
const MAX_ROUNDS: usize = 5000;

/// One fetch, without gaps.
///
/// Gives way first, as the other calls that cases repeat do: an engine that never waits would keep
/// its thread for ever.
pub(crate) async fn fetch(member: &dyn Member, limit: usize) -> Vec<Delivery> {
    yield_now().await;
    let fetched = member
        .fetch(limit)
        .await
        .expect("a member of a live subscription can fetch");
    assert!(
        fetched.deliveries.len() <= limit,
        "a fetch returns at most {limit} messages, not {}",
        fetched.deliveries.len()
    );
    assert_eq!(fetched.gaps, [], "nothing was dropped, so there is no gap");
    fetched.deliveries
}

/// Takes exactly `n` messages, which must be due, and for this member: where another one was active
/// of late, that has its share, and [`gather`] is the way.
pub(crate) async fn take(member: &dyn Member, n: usize) -> Vec<Delivery> {
    let mut taken = Vec::with_capacity(n);
    for _ in 0..MAX_ROUNDS {
        if taken.len() == n {
            return taken;
        }
        taken.extend(fetch(member, n - taken.len()).await);
    }
    panic!(
        "repeated fetches return every message that is due: expected {n}, got {:?}",
        ids(&taken)
    );
}

/// Takes whatever is due.
pub(crate) async fn take_all(member: &dyn Member) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let mut quiet = 0;
    for _ in 0..MAX_ROUNDS {
        let deliveries = fetch(member, 100).await;
        quiet = if deliveries.is_empty() { quiet + 1 } else { 0 };
        if quiet == QUIET {
            return taken;
        }
        taken.extend(deliveries);
    }
    panic!("what is due runs out: no message is delivered again under an unexpired lease");
}

/// Takes exactly `n` messages, which must be due, as several members that take turns: what each got.
pub(crate) async fn gather(members: &[Arc<dyn Member>], n: usize) -> Vec<Vec<Delivery>> {
    let share = n.div_ceil(members.len());
    let mut taken = vec![Vec::new(); members.len()];
    let mut left = n;
    for _ in 0..MAX_ROUNDS {
        for (member, taken) in members.iter().zip(&mut taken) {
            if left > 0 {
                let deliveries = fetch(&**member, share.min(left)).await;
                left -= deliveries.len();
                taken.extend(deliveries);
            }
        }
        if left == 0 {
            return taken;
        }
    }
    panic!(
        "members that take turns get every message that is due: expected {n}, got {:?}",
        taken.iter().map(|taken| ids(taken)).collect::<Vec<_>>()
    );
}

/// Takes the one message that is due, as one of several members.
pub(crate) async fn gather_one(members: &[Arc<dyn Member>]) -> Delivery {
    gather(members, 1).await.concat().remove(0)
}

/// Asserts that nothing is to be had.
pub(crate) async fn nothing(member: &dyn Member, promise: &str) {
    let taken = take_all(member).await;
    assert!(
        taken.is_empty(),
        "{promise}; yet these were delivered: {:?}",
        ids(&taken)
    );
}

/// Settles all of them as handled; each must take effect.
pub(crate) async fn settle_all(member: &dyn Member, deliveries: &[Delivery]) {
    let settled = member
        .done_all(deliveries)
        .await
        .expect("what a member holds can be settled");
    assert_eq!(
        settled,
        deliveries.len(),
        "settlements under unexpired leases all take effect"
    );
}

/// Settles, with every refusal for a receipt of the past as `Stale`, however the engine found it.
pub(crate) async fn outcomes(member: &dyn Member, settlements: &[Settlement]) -> Vec<Outcome> {
    let outcomes = member
        .settle(settlements)
        .await
        .expect("refused settlements are no error of the call");
    let plain = |outcome| match outcome {
        Outcome::Fenced => Outcome::Stale,
        outcome => outcome,
    };
    outcomes.into_iter().map(plain).collect()
}

pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<MessageId> {
    deliveries.iter().map(|d| d.message.id).collect()
}

pub(crate) fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|d| d.receipt).collect()
}
