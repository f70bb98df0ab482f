//! Completion by offset and watermark: cursors over the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanout_core::{
    Claimed, CompletionMode, CompletionStrategy, CursorReceipt, Delivery, Extension, Fetched,
    GroupIndex, MessageId, Outcome, Receipt, ReceiptForm, Result, Scope, Settlement,
    SubscriptionStatus, TopicId, Verdict,
};

use crate::checkout::Checkout;
use crate::counters::Counters;
use crate::cursor::{Handed, Hub, Look, LookRequest, Session, Sessions};
use crate::error::foreign_receipt;
use crate::storage::{beginnings, cursors, watermarks};

/// A member session's view of its group's cursors.
#[derive(Debug)]
pub(crate) struct OffsetWatermark {
    hub: Arc<Hub>,
    sessions: Sessions,
}

impl OffsetWatermark {
    pub(crate) fn new(hub: Arc<Hub>, name: &str, counters: Arc<Counters>) -> Self {
        let sessions = Sessions::new(hub.clone(), name, counters);
        Self { hub, sessions }
    }

    /// The subscription has moved away from a bit.
    pub(crate) fn leave_behind(&self, group: GroupIndex) {
        self.sessions.leave_behind(group);
    }

    /// Whether the subscription is known to have moved away from a bit.
    pub(crate) fn has_left(&self, group: GroupIndex) -> bool {
        self.sessions.has_left(group)
    }

    /// Reads where the subscription stands. A member that has nothing to deliver waits a little, so that
    /// many of them read together.
    pub(crate) async fn look(&self, scope: &Scope, floor: i64) -> Result<Look> {
        let request = LookRequest {
            subscription: scope.subscription,
            floor,
        };
        let urgent = self.sessions.of(scope).has_work();
        self.hub.look(request, urgent).await
    }

    /// Whether there is something to deliver as of a look.
    pub(crate) async fn is_ready(&self, look: &Look, scope: &Scope, limit: usize) -> Result<bool> {
        self.sessions.of(scope).is_ready(look, limit, scope).await
    }

    /// Takes a tick if one is due, so that what was published since can be read.
    pub(crate) async fn tick(&self) -> Result<()> {
        self.hub.tick().await.map(drop)
    }

    /// Whether every lane stands at the newest tick with nothing in hand.
    pub(crate) fn is_idle(&self, scope: &Scope) -> bool {
        self.sessions.of(scope).is_idle()
    }

    /// Leases up to `limit` messages, after a look.
    pub(crate) async fn claim_after(
        &self,
        look: &Look,
        scope: &Scope,
        limit: usize,
    ) -> Result<Vec<Delivery>> {
        let handed = self.sessions.of(scope).claim(look, limit, scope).await?;
        Ok(handed
            .into_iter()
            .map(|(epoch, handed)| delivery(scope, epoch, &handed))
            .collect())
    }

    /// Gives all back and all lanes up.
    pub(crate) async fn leave(&self) -> Result<()> {
        self.sessions.leave().await
    }
}

/// The receipt's private form, if it belongs to this subscription's cursors.
fn cursor(receipt: &Receipt, scope: &Scope) -> Result<CursorReceipt> {
    match receipt.form() {
        ReceiptForm::Cursor(cursor)
            if (cursor.topic, cursor.group) == (scope.topic, scope.group) =>
        {
            Ok(*cursor)
        }
        _ => Err(foreign_receipt(receipt)),
    }
}

/// Receipts by the session that owns their lanes; those without one are left out.
fn by_owner<Item>(
    hub: &Hub,
    group: GroupIndex,
    items: impl Iterator<Item = Item>,
    receipt: impl Fn(&Item) -> CursorReceipt,
) -> Vec<(Arc<Session>, Vec<Item>)> {
    let mut owners: BTreeMap<(u16, i64), Option<Arc<Session>>> = BTreeMap::new();
    let mut of: Vec<(Arc<Session>, Vec<Item>)> = Vec::new();
    for item in items {
        let CursorReceipt { lane, epoch, .. } = receipt(&item);
        let owner = owners
            .entry((lane.0, epoch))
            .or_insert_with(|| hub.owner(group, lane, epoch));
        let Some(owner) = owner else {
            continue;
        };
        match of.iter_mut().find(|(other, _)| Arc::ptr_eq(other, owner)) {
            Some((_, items)) => items.push(item),
            None => of.push((owner.clone(), vec![item])),
        }
    }
    of
}

/// Prepares the settlement of deliveries in a caller's transaction. If they are all in hand of members of
/// this process: the messages that must be settled before them, where order is kept per key.
pub(crate) async fn prepare(
    hub: &Hub,
    group: GroupIndex,
    receipts: &[CursorReceipt],
) -> Result<Option<Vec<i64>>> {
    let owners = by_owner(hub, group, receipts.iter().copied(), |receipt| *receipt);
    let known: usize = owners.iter().map(|(_, receipts)| receipts.len()).sum();
    if known < receipts.len() {
        return Ok(None);
    }
    hub.settle_in_transactions();
    let mut before = Vec::new();
    for (owner, receipts) in owners {
        match owner.prepare(&receipts).await? {
            Some(earlier) => before.extend(earlier),
            None => return Ok(None),
        }
    }
    Ok(Some(before))
}

#[async_trait]
impl CompletionStrategy for OffsetWatermark {
    type Connection = Checkout;

    fn mode(&self) -> CompletionMode {
        CompletionMode::OffsetWatermark
    }

    async fn open(&self, connection: &mut Checkout, scope: &Scope) -> Result<()> {
        open(connection, scope).await
    }

    async fn close(&self, connection: &mut Checkout, scope: &Scope) -> Result<u64> {
        cursors::remove(connection.get().await?, scope.topic, scope.group).await
    }

    async fn claim(
        &self,
        connection: &mut Checkout,
        scope: &Scope,
        limit: usize,
    ) -> Result<Claimed> {
        connection.give_back();
        let look = self.look(scope, i64::MAX).await?;
        let mut fetched = Fetched::default();
        if look.status == SubscriptionStatus::Active {
            fetched.deliveries = self.claim_after(&look, scope, limit).await?;
        }
        Ok(Claimed {
            status: look.status,
            fetched,
        })
    }

    async fn settle(
        &self,
        connection: &mut Checkout,
        scope: &Scope,
        settlements: &[Settlement],
    ) -> Result<Vec<Outcome>> {
        connection.give_back();
        let mut items: Vec<(usize, CursorReceipt, &Verdict)> = Vec::new();
        for (index, settlement) in settlements.iter().enumerate() {
            let receipt = cursor(&settlement.receipt, scope)?;
            items.push((index, receipt, &settlement.verdict));
        }
        // Whose lanes have another owner by now.
        let mut outcomes = vec![Outcome::Fenced; settlements.len()];
        for (owner, items) in by_owner(&self.hub, scope.group, items.into_iter(), |item| item.1) {
            for (index, outcome) in owner.settle(&items, scope).await? {
                outcomes[index] = outcome;
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
        connection.give_back();
        let mut items: Vec<(usize, CursorReceipt)> = Vec::new();
        for (index, receipt) in receipts.iter().enumerate() {
            items.push((index, cursor(receipt, scope)?));
        }
        let mut extensions = vec![Extension::Stale; receipts.len()];
        for (owner, items) in by_owner(&self.hub, scope.group, items.into_iter(), |item| item.1) {
            for (index, extension) in owner.extend(&items, by).await? {
                extensions[index] = extension;
            }
        }
        Ok(extensions)
    }

    async fn lowest_unsettled(
        &self,
        connection: &mut Checkout,
        topic: TopicId,
    ) -> Result<Option<MessageId>> {
        let connection = connection.get().await?;
        watermarks::lowest_owed_by_cursor(connection, topic).await
    }

    async fn remaining(&self, connection: &mut Checkout, scope: &Scope) -> Result<u64> {
        let connection = connection.get().await?;
        watermarks::count_owed_by_cursor(connection, scope.topic, Some(scope.group)).await
    }
}

/// Makes the cursors of a subscription whose row is written already, in the same transaction.
pub(crate) async fn open(connection: &mut Checkout, scope: &Scope) -> Result<()> {
    let connection = connection.get().await?;
    let start = beginnings::start(connection, scope.subscription).await?;
    cursors::create(
        connection,
        scope.topic,
        scope.group,
        start.tick,
        start.owed_from,
    )
    .await
}

fn delivery(scope: &Scope, epoch: i64, handed: &Handed) -> Delivery {
    let attempt = handed.failures + 1;
    let receipt = Receipt::new(ReceiptForm::Cursor(CursorReceipt {
        topic: scope.topic,
        subscription: scope.subscription,
        group: scope.group,
        lane: handed.row.lane,
        id: MessageId(handed.row.id),
        attempt,
        epoch,
        delivery: handed.delivery,
    }));
    Delivery {
        message: handed.row.message(&scope.topic_name),
        attempt,
        until: handed.until,
        receipt,
    }
}
