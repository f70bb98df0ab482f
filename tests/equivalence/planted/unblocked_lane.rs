//! An engine that makes a failed message wait, and not its lane.

use fanout_core::{
    Backend, Extension, OnFailure, Outcome, Receipt, Result, Settlement, Subscription, lane_of,
};

use super::flawed_member::FlawedMember;
use super::notes::Hidden;

impl FlawedMember {
    /// A message failed: keeps it away until it is due, and lets its lane go on.
    pub(super) async fn keep_away(&self, failed: Receipt) -> Result<Option<Outcome>> {
        let Subscription {
            topic,
            group,
            options,
            ..
        } = self.inner.subscription();
        let delivered = self.notes.lock().delivered.clone();
        let keyless = delivered
            .iter()
            .any(|d| d.receipt == failed && d.message.key.is_none());
        let wait = options.backoff.delay(failed.attempt(), 0.5);
        let blocks = options.on_failure == OnFailure::Block;
        if !blocks || !keyless || wait.is_zero() || failed.attempt() >= options.max_attempts {
            return Ok(None);
        }
        let Extension::Extended { until } = self.inner.extend(&[failed], wait).await?[0] else {
            return Ok(Some(Outcome::Stale));
        };
        let lanes = self.backend.topic(&topic).await?.config.lanes;
        let lane = lane_of(None, failed.id().0, lanes);
        let later: Vec<_> = delivered
            .iter()
            .filter(|d| d.receipt.group() == failed.group() && d.message.topic == topic)
            .filter(|d| lane_of(d.message.key.as_deref(), d.message.id.0, lanes) == lane)
            .filter(|d| d.message.id > failed.id())
            .map(|d| Settlement::release(d.receipt))
            .collect();
        self.inner.settle(&later).await?;
        self.notes.lock().hidden.push(Hidden {
            topic,
            group,
            until,
            lane: Some(lane),
        });
        Ok(Some(Outcome::Retry { due: until }))
    }
}
