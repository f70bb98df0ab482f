//! Completion by reference counting: a tracking row per message and group, and a bitmap.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diesel_async::AsyncPgConnection;
use fanout_core::{
    Claimed, Clock, CompletionMode, CompletionStrategy, DeadReason, Delivery, Error, ErrorKind,
    Extension, Fetched, GroupIndex, Message, MessageId, Outcome, Receipt, ReceiptForm, Result,
    Scope, Settlement, Timestamp, TopicId, TrackedReceipt, Verdict,
};

use parking_lot::RwLock;

use crate::checkout::Checkout;
use crate::claim_upkeep::ClaimUpkeep;
use crate::counters::Counters;
use crate::error::foreign_receipt;
use crate::settlement_plan::{Rows, SettlementPlan};
use crate::storage::tracking::{self, GivenUp, Leased};

/// Most settlements folded, rows reaped or messages caught up with by one statement.
pub(crate) const BATCH: i32 = 5000;

/// A member session's view of its group's tracking rows.
#[derive(Debug)]
pub(crate) struct ReferenceCounting {
    clock: Option<Arc<dyn Clock>>,
    counters: Arc<Counters>,
    /// Of the group's present bit.
    upkeep: RwLock<(GroupIndex, Arc<ClaimUpkeep>)>,
}

impl ReferenceCounting {
    pub(crate) fn new(clock: Option<Arc<dyn Clock>>, counters: Arc<Counters>) -> Self {
        Self {
            clock,
            counters,
            upkeep: RwLock::new((GroupIndex(0), Arc::default())),
        }
    }

    /// What is known for a subscription's bit, which a seek changes: nothing of the former holds.
    fn upkeep(&self, scope: &Scope) -> Arc<ClaimUpkeep> {
        let mut upkeep = self.upkeep.write();
        if upkeep.0 != scope.group {
            *upkeep = (scope.group, Arc::default());
        }
        upkeep.1.clone()
    }

    /// An id up to which the group owes no tracked message.
    pub(crate) fn floor(&self, scope: &Scope) -> i64 {
        self.upkeep(scope).floor()
    }

    /// Whether the last claim saw that new messages of the topic are tracked.
    pub(crate) fn tracks(&self, scope: &Scope) -> bool {
        self.upkeep(scope).tracks()
    }

    fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    /// Gives up what was leased too often without any outcome; the rest is delivered.
    async fn sort_out_poison(
        &self,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
        leased: Vec<Leased>,
    ) -> Vec<Leased> {
        let (poison, sound): (Vec<_>, Vec<_>) = leased
            .into_iter()
            .partition(|lease| lease.stalls >= scope.options.max_stalls);
        for lease in poison {
            let given_up = GivenUp {
                id: lease.id.0,
                token: lease.token,
                attempts: lease.failures,
                reason: DeadReason::Poison,
                error: None,
            };
            let result =
                tracking::dead_letter(connection, scope.subscription, &given_up, self.now()).await;
            if let Err(error) = result {
                // Its lease stands; when that expires the next claim finds it again.
                tracing::warn!(topic = %scope.topic_name, id = %lease.id, %error, "poison message was not dead-lettered");
            }
        }
        sound
    }

    /// Settles distinct messages, whatever the verdicts; outcomes by message.
    async fn settle_distinct(
        &self,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
        batch: &BTreeMap<i64, (TrackedReceipt, &Verdict)>,
    ) -> Result<BTreeMap<i64, Outcome>> {
        let mut plan = SettlementPlan::default();
        for (id, (receipt, verdict)) in batch {
            plan.add(*id, receipt, verdict, scope);
        }
        let mut outcomes = BTreeMap::new();
        let result = self.perform(connection, scope, &plan, &mut outcomes).await;
        match result {
            Ok(()) => Ok(outcomes),
            Err(error) if outcomes.is_empty() => Err(error),
            // Part of it stands already, so this is no plain failure.
            Err(error) => Err(Error::new(
                ErrorKind::Unknown,
                format!("some settlements stand and some failed: {error}"),
            )
            .with_source(error)),
        }
    }

    async fn perform(
        &self,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
        plan: &SettlementPlan,
        outcomes: &mut BTreeMap<i64, Outcome>,
    ) -> Result<()> {
        let now = self.now();
        if !plan.settle.ids.is_empty() {
            self.settle_rows(connection, scope, &plan.settle, outcomes)
                .await?;
        }
        if !plan.fail.ids.is_empty() {
            let (fail, delays, errors) = (&plan.fail, &plan.delays, &plan.errors);
            let due = tracking::fail(
                connection,
                scope,
                &fail.ids,
                &fail.tokens,
                delays,
                errors,
                now,
            )
            .await?;
            outcomes.extend(
                due.into_iter()
                    .map(|(id, due)| (id, Outcome::Retry { due })),
            );
        }
        if !plan.release.ids.is_empty() {
            let released =
                tracking::release(connection, scope, &plan.release.ids, &plan.release.tokens)
                    .await?;
            outcomes.extend(released.into_iter().map(|id| (id, Outcome::Applied)));
        }
        for given_up in &plan.give_up {
            if tracking::dead_letter(connection, scope.subscription, given_up, now).await? {
                outcomes.insert(given_up.id, Outcome::DeadLettered);
            }
        }
        Ok(())
    }

    /// First whatever no other group is settling right now; then the rest, waiting, in a
    /// transaction of its own: one that holds records must not wait for others.
    async fn settle_rows(
        &self,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
        rows: &Rows,
        outcomes: &mut BTreeMap<i64, Outcome>,
    ) -> Result<()> {
        let now = self.now();
        let first =
            tracking::settle(connection, scope, &rows.ids, &rows.tokens, false, now).await?;
        let (applied, conflicts) = (first.applied.len(), first.conflicted.len());
        self.counters.completions(applied + conflicts, conflicts);
        outcomes.extend(first.applied.into_iter().map(|id| (id, Outcome::Applied)));
        if conflicts > 0 {
            let rest = rows.only(&first.conflicted);
            let second =
                tracking::settle(connection, scope, &rest.ids, &rest.tokens, true, now).await?;
            outcomes.extend(second.applied.into_iter().map(|id| (id, Outcome::Applied)));
        }
        Ok(())
    }
}

/// The receipt's private form, if it belongs to this subscription's accounting.
fn tracked(receipt: &Receipt, scope: &Scope) -> Result<TrackedReceipt> {
    match receipt.form() {
        ReceiptForm::Tracked(tracked)
            if (tracked.topic, tracked.group) == (scope.topic, scope.group) =>
        {
            Ok(*tracked)
        }
        _ => Err(foreign_receipt(receipt)),
    }
}

#[async_trait]
impl CompletionStrategy for ReferenceCounting {
    type Connection = Checkout;

    fn mode(&self) -> CompletionMode {
        CompletionMode::ReferenceCounting
    }

    /// Nothing: publishers write for every subscription that they see.
    async fn open(&self, _connection: &mut Checkout, _scope: &Scope) -> Result<()> {
        Ok(())
    }

    async fn close(&self, connection: &mut Checkout, scope: &Scope) -> Result<u64> {
        let connection = connection.get().await?;
        tracking::reap(connection, scope.topic, scope.group, BATCH, self.now()).await
    }

    async fn claim(
        &self,
        connection: &mut Checkout,
        scope: &Scope,
        limit: usize,
    ) -> Result<Claimed> {
        let connection = connection.get().await?;
        let upkeep = self.upkeep(scope);
        upkeep.run(connection, scope, self.now()).await;
        let floor = upkeep.floor();
        let mut claim = tracking::claim(connection, scope, floor, limit, self.now()).await?;
        upkeep.note(&claim);
        if claim.leased.is_empty() {
            upkeep.run(connection, scope, self.now()).await;
        }
        let leased = std::mem::take(&mut claim.leased);
        let leased = self.sort_out_poison(connection, scope, leased).await;
        let deliveries = leased
            .into_iter()
            .map(|lease| delivery(scope, lease))
            .collect();
        Ok(Claimed {
            status: claim.status,
            fetched: Fetched {
                deliveries,
                gaps: Vec::new(),
            },
        })
    }

    async fn settle(
        &self,
        connection: &mut Checkout,
        scope: &Scope,
        settlements: &[Settlement],
    ) -> Result<Vec<Outcome>> {
        let connection = connection.get().await?;
        let receipts = settlements
            .iter()
            .map(|settlement| tracked(&settlement.receipt, scope))
            .collect::<Result<Vec<_>>>()?;
        let mut outcomes = vec![Outcome::Stale; settlements.len()];
        let mut used = HashSet::new();
        let mut open: Vec<usize> = (0..receipts.len())
            .filter(|index| used.insert(receipts[*index]))
            .collect();
        // One message under two receipts needs two rounds; at most one of them is valid.
        while !open.is_empty() {
            let mut batch = BTreeMap::new();
            let mut index_of = BTreeMap::new();
            open.retain(|index| {
                let id = receipts[*index].id.0;
                let taken = index_of.contains_key(&id);
                if !taken {
                    batch.insert(id, (receipts[*index], &settlements[*index].verdict));
                    index_of.insert(id, *index);
                }
                taken
            });
            for (id, outcome) in self.settle_distinct(connection, scope, &batch).await? {
                outcomes[index_of[&id]] = outcome;
            }
        }
        Ok(outcomes)
    }

    async fn extend(
        &self,
        connection: &mut Checkout,
        scope: &Scope,
        receipts: &[Receipt],
        by: Duration,
    ) -> Result<Vec<Extension>> {
        let connection = connection.get().await?;
        let rows = receipts
            .iter()
            .map(|receipt| tracked(receipt, scope))
            .collect::<Result<Vec<_>>>()?;
        let distinct: BTreeMap<(i64, i64), ()> =
            rows.iter().map(|row| ((row.id.0, row.token), ())).collect();
        let (ids, tokens): (Vec<_>, Vec<_>) = distinct.into_keys().unzip();
        let extended: BTreeMap<_, _> =
            tracking::extend(connection, scope, &ids, &tokens, by, self.now())
                .await?
                .into_iter()
                .collect();
        Ok(rows
            .iter()
            .map(|row| match extended.get(&(row.id.0, row.token)) {
                Some(until) => Extension::Extended { until: *until },
                None => Extension::Stale,
            })
            .collect())
    }

    async fn lowest_unsettled(
        &self,
        connection: &mut Checkout,
        topic: TopicId,
    ) -> Result<Option<MessageId>> {
        let connection = connection.get().await?;
        let lowest = tracking::lowest_owed_by_any(connection, topic).await?;
        Ok(lowest.map(MessageId))
    }

    async fn remaining(&self, connection: &mut Checkout, scope: &Scope) -> Result<u64> {
        let connection = connection.get().await?;
        tracking::count_owed(connection, scope.topic, scope.group).await
    }
}

fn delivery(scope: &Scope, lease: Leased) -> Delivery {
    let attempt = lease.failures + 1;
    let receipt = Receipt::new(ReceiptForm::Tracked(TrackedReceipt {
        topic: scope.topic,
        subscription: scope.subscription,
        group: scope.group,
        id: lease.id,
        attempt,
        token: lease.token,
    }));
    Delivery {
        message: Message {
            topic: scope.topic_name.clone(),
            id: lease.id,
            key: lease.key,
            headers: lease.headers,
            payload: lease.payload,
            created_at: lease.created_at,
        },
        attempt,
        until: lease.until,
        receipt,
    }
}
