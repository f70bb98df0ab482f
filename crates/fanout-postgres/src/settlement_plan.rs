//! Which statements a batch of settlements needs.

use std::collections::HashSet;
use std::time::Duration;

use fanout_core::{DeadReason, Scope, TrackedReceipt, Verdict, stored_error};

use crate::storage::tracking::GivenUp;

/// Messages, ascending, with the tokens of their leases.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) ids: Vec<i64>,
    pub(crate) tokens: Vec<i64>,
}

impl Rows {
    fn push(&mut self, id: i64, token: i64) {
        self.ids.push(id);
        self.tokens.push(token);
    }

    pub(crate) fn only(&self, wanted: &[i64]) -> Self {
        let wanted: HashSet<_> = wanted.iter().collect();
        let (ids, tokens) = self
            .ids
            .iter()
            .zip(&self.tokens)
            .filter(|(id, _)| wanted.contains(id))
            .unzip();
        Self { ids, tokens }
    }
}

/// The statements that a batch of settlements needs.
#[derive(Debug, Default)]
pub(crate) struct SettlementPlan {
    pub(crate) settle: Rows,
    pub(crate) fail: Rows,
    pub(crate) delays: Vec<Duration>,
    pub(crate) errors: Vec<String>,
    pub(crate) release: Rows,
    pub(crate) give_up: Vec<GivenUp>,
}

impl SettlementPlan {
    /// Ids come in ascending order.
    pub(crate) fn add(
        &mut self,
        id: i64,
        receipt: &TrackedReceipt,
        verdict: &Verdict,
        scope: &Scope,
    ) {
        match verdict {
            Verdict::Done | Verdict::Skip => self.settle.push(id, receipt.token),
            Verdict::Release => self.release.push(id, receipt.token),
            Verdict::Fail(reason) if receipt.attempt >= scope.options.max_attempts => {
                self.give_up.push(GivenUp {
                    id,
                    token: receipt.token,
                    attempts: receipt.attempt,
                    reason: DeadReason::AttemptsExhausted,
                    error: Some(stored_error(reason)),
                });
            }
            Verdict::Fail(reason) => {
                self.fail.push(id, receipt.token);
                self.delays
                    .push(scope.options.backoff.delay(receipt.attempt, jitter()));
                self.errors.push(stored_error(reason));
            }
        }
    }
}

/// A fraction in [0, 1). When a message is due again is told to the caller, so nothing needs to
/// replay it.
pub(crate) fn jitter() -> f64 {
    rand::RngExt::random(&mut rand::rng())
}

#[cfg(test)]
mod tests {
    use fanout_core::{
        GroupIndex, MessageId, SubscriptionId, SubscriptionOptions, TopicId, TopicName,
    };

    use super::*;

    fn scope(max_attempts: u32) -> Scope {
        Scope {
            topic: TopicId(1),
            topic_name: TopicName::new("t").unwrap(),
            subscription: SubscriptionId(1),
            group: GroupIndex(0),
            options: SubscriptionOptions {
                max_attempts,
                ..SubscriptionOptions::default()
            },
        }
    }

    fn receipt(id: i64, attempt: u32) -> TrackedReceipt {
        let (topic, group, id) = (TopicId(1), GroupIndex(0), MessageId(id));
        TrackedReceipt {
            topic,
            subscription: SubscriptionId(1),
            group,
            id,
            attempt,
            token: 100 + id.0,
        }
    }

    #[test]
    fn each_verdict_goes_its_way_and_the_last_attempt_gives_up() {
        let scope = scope(3);
        let mut plan = SettlementPlan::default();
        plan.add(1, &receipt(1, 1), &Verdict::Done, &scope);
        plan.add(2, &receipt(2, 9), &Verdict::Skip, &scope);
        plan.add(3, &receipt(3, 1), &Verdict::Release, &scope);
        plan.add(4, &receipt(4, 2), &Verdict::Fail("a".into()), &scope);
        plan.add(5, &receipt(5, 3), &Verdict::Fail("b\0".into()), &scope);
        assert_eq!(
            plan.settle,
            Rows {
                ids: vec![1, 2],
                tokens: vec![101, 102]
            }
        );
        assert_eq!(plan.release.ids, [3]);
        assert_eq!(
            (plan.fail.ids.as_slice(), plan.errors.as_slice()),
            (&[4][..], &["a".to_owned()][..])
        );
        assert_eq!(plan.delays.len(), 1);
        assert_eq!(plan.give_up.len(), 1);
        assert_eq!(plan.give_up[0].attempts, 3);
        assert_eq!(plan.give_up[0].error.as_deref(), Some("b\u{fffd}"));
    }

    #[test]
    fn only_keeps_tokens_beside_their_messages() {
        let rows = Rows {
            ids: vec![1, 2, 3],
            tokens: vec![7, 8, 9],
        };
        assert_eq!(
            rows.only(&[3, 1]),
            Rows {
                ids: vec![1, 3],
                tokens: vec![7, 9]
            }
        );
    }
}
