//! A consumer's session: routes to the strategies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use fanout_core::{
    Backend, Claimed, CompletionMode, CompletionStrategy, Error, ErrorKind, Extension, Fetched,
    Member, MemberCounters, MemberName, Outcome, Receipt, ReceiptForm, Result, Scope, Settlement,
    Subscription, SubscriptionStatus, TopicId, check_lease, planted,
};
use parking_lot::RwLock;

use crate::PostgresBackend;
use crate::checkout::Checkout;
use crate::counters::Counters;
use crate::error::{foreign_receipt, subscription_ended, topic_not_found};
use crate::held::Held;
use crate::known_subscription::KnownSubscription;
use crate::offset_watermark::OffsetWatermark;
use crate::paths::Paths;
use crate::reference_counting::ReferenceCounting;
use crate::storage::subscriptions;

/// Most messages that leaving releases in one statement.
const RELEASE_BATCH: usize = 10_000;

/// One running consumer of a group.
#[derive(Debug)]
pub(crate) struct PostgresMember {
    backend: PostgresBackend,
    topic: TopicId,
    name: MemberName,
    subscription: KnownSubscription,
    tracked: ReferenceCounting,
    cursors: OffsetWatermark,
    paths: RwLock<Paths>,
    counters: Arc<Counters>,
    held: Held,
    left: AtomicBool,
}

impl PostgresMember {
    pub(crate) fn new(
        backend: PostgresBackend,
        topic: TopicId,
        name: MemberName,
        subscription: Subscription,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        let paths = RwLock::new(Paths::new(backend.rest()));
        let tracked = ReferenceCounting::new(backend.clock(), counters.clone());
        let cursors = OffsetWatermark::new(backend.hub(topic), name.as_str(), counters.clone());
        Self {
            backend,
            topic,
            name,
            subscription: KnownSubscription::new(subscription),
            tracked,
            cursors,
            paths,
            counters,
            held: Held::default(),
            left: AtomicBool::new(false),
        }
    }

    fn scope(&self) -> Scope {
        self.subscription.scope(self.topic)
    }

    fn check_open(&self) -> Result<()> {
        if self.left.load(Relaxed) {
            return Err(Error::new(
                ErrorKind::Closed,
                format!("member has left its group member=`{}`", self.name),
            ));
        }
        self.backend.check_open()
    }

    /// Takes messages by their tracking rows alone.
    async fn fetch_tracked(&self, scope: &Scope, limit: usize) -> Result<Claimed> {
        let mut checkout = self.backend.checkout()?;
        let claimed = self.tracked.claim(&mut checkout, scope, limit).await?;
        self.held
            .take(&claimed.fetched.deliveries, scope.options.lease);
        Ok(claimed)
    }

    /// Takes messages by their tracking rows while the cursors rest, unless the mode has changed.
    async fn fetch_resting(&self, scope: &Scope, limit: usize) -> Result<Claimed> {
        let claimed = self.fetch_tracked(scope, limit).await?;
        if self.tracked.tracks(scope) {
            return Ok(claimed);
        }
        self.paths.write().wake();
        if claimed.fetched.deliveries.is_empty() {
            return self.fetch_both(scope, limit).await;
        }
        Ok(claimed)
    }

    /// Takes messages by both paths; each that has work gets half of the limit at least.
    async fn fetch_both(&self, scope: &Scope, limit: usize) -> Result<Claimed> {
        let look = self.cursors.look(scope, self.tracked.floor(scope)).await?;
        let mut claimed = Claimed {
            status: look.status,
            fetched: Fetched::default(),
        };
        if i32::from(scope.group.0) != i32::from(look.group) {
            claimed.status = SubscriptionStatus::Cancelled;
        }
        if claimed.status != SubscriptionStatus::Active {
            return Ok(claimed);
        }
        // Rows, or what only a claim of rows looks after.
        let has_rows = (look.tracked || look.folding || !look.caught_up)
            && (look.tracks || !planted!(ForgetsOldPath));
        let mut cursor_has_work = has_rows && self.cursors.is_ready(&look, scope, limit).await?;
        if has_rows && !cursor_has_work {
            // Rows may fill every fetch, and then nothing else here would ask for a tick.
            self.cursors.tick().await?;
            cursor_has_work = self.cursors.is_ready(&look, scope, limit).await?;
        }
        let turn = self.paths.write().next_turn();
        let rows_limit = match (has_rows, cursor_has_work) {
            (false, _) => 0,
            (true, false) => limit,
            (true, true) if limit == 1 => usize::from(turn),
            (true, true) => limit.div_ceil(2),
        };
        if rows_limit > 0 {
            claimed = self.fetch_tracked(scope, rows_limit).await?;
        }
        if claimed.status != SubscriptionStatus::Active {
            return Ok(claimed);
        }
        let room = limit - claimed.fetched.deliveries.len();
        let mut more = Vec::new();
        if room > 0 && !(look.tracks && planted!(ForgetsOldPath)) {
            more = self.cursors.claim_after(&look, scope, room).await?;
        }
        if room > 0 || !cursor_has_work {
            let nothing = look.tracks && more.is_empty() && self.cursors.is_idle(scope);
            self.paths.write().note(scope, nothing);
        }
        claimed.fetched.deliveries.extend(more);
        Ok(claimed)
    }

    /// Goes on with the subscription as a call read it that began with this scope. After a seek both paths have to be
    /// looked at.
    fn adopt(&self, read: Subscription, began: &Scope) {
        self.subscription.adopt(read, began.group, |left| {
            self.cursors.leave_behind(left);
            self.paths.write().wake();
        });
    }

    /// What a fetch returns; none when the subscription has another bit since a seek.
    async fn explain(&self, scope: &Scope, answer: Result<Claimed>) -> Result<Option<Fetched>> {
        let error = match answer {
            Ok(claimed)
                if matches!(
                    claimed.status,
                    SubscriptionStatus::Active | SubscriptionStatus::Paused
                ) =>
            {
                return Ok(Some(claimed.fetched));
            }
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::Database => Some(error),
            Err(error) => return Err(error),
        };
        let mut checkout = self.backend.checkout()?;
        let connection = checkout.get().await?;
        let present = subscriptions::get(connection, &scope.topic_name, scope.subscription).await?;
        match (present, error) {
            // With the topic its hot functions are gone too.
            (None, _) => Err(topic_not_found(&scope.topic_name)),
            (Some(_), Some(error)) => Err(error),
            (Some(present), None)
                if present.group_index != scope.group && present.status.is_live() =>
            {
                self.adopt(present, scope);
                Ok(None)
            }
            (Some(present), None) => Err(subscription_ended(&present)),
        }
    }

    /// The indexes of the receipts that are of this very subscription as it is now, and what it is now. Those of
    /// before a seek and of the group's former or later subscriptions are stale; any other is an error.
    async fn of_this_incarnation<'a>(
        &self,
        checkout: &mut Checkout,
        receipts: impl Iterator<Item = &'a Receipt> + Clone + Send,
    ) -> Result<(Scope, Vec<usize>)> {
        let mut scope = self.scope();
        let ids: BTreeSet<_> = receipts.clone().map(Receipt::subscription).collect();
        if ids.iter().any(|id| *id != scope.subscription) {
            let ids = ids.into_iter().chain([scope.subscription]).collect();
            let groups = subscriptions::groups(checkout.get().await?, ids).await?;
            let own = groups.get(&scope.subscription);
            // With the topic all that was known of it is gone; its receipts are stale anyway.
            let is_foreign = |receipt: &&Receipt| {
                receipt.topic() != scope.topic
                    || own.is_some() && groups.get(&receipt.subscription()) != own
            };
            if let Some(foreign) = receipts.clone().find(is_foreign) {
                return Err(foreign_receipt(foreign));
            }
        }
        let may_be_of_next_bit = |receipt: &Receipt| {
            receipt.subscription() == scope.subscription
                && receipt.group() != scope.group
                && !self.cursors.has_left(receipt.group())
        };
        // A seek gives the subscription another bit, and another member may have fetched since.
        if receipts.clone().any(may_be_of_next_bit) {
            let connection = checkout.get().await?;
            let id = scope.subscription;
            let present = subscriptions::get(connection, &scope.topic_name, id).await?;
            if let Some(present) = present.filter(|present| present.status.is_live()) {
                self.adopt(present, &scope);
                scope = self.scope();
            }
        }
        let is_own = |receipt: &Receipt| {
            (receipt.subscription(), receipt.group()) == (scope.subscription, scope.group)
        };
        let own = receipts.enumerate().filter(|(_, receipt)| is_own(receipt));
        let own = own.map(|(index, _)| index).collect();
        Ok((scope, own))
    }

    /// Settles, and forgets what is no longer in hand.
    async fn settle_held(&self, settlements: &[Settlement]) -> Result<Vec<Outcome>> {
        let mut checkout = self.backend.checkout()?;
        let receipts = settlements.iter().map(|settlement| &settlement.receipt);
        let (scope, own) = self.of_this_incarnation(&mut checkout, receipts).await?;
        let mut outcomes = vec![Outcome::Stale; settlements.len()];
        for (form, indexes) in by_form(own, |index| &settlements[index].receipt) {
            let mine: Vec<_> = indexes
                .iter()
                .map(|index| settlements[*index].clone())
                .collect();
            let settled = match form {
                CompletionMode::ReferenceCounting => {
                    self.tracked.settle(&mut checkout, &scope, &mine).await
                }
                CompletionMode::OffsetWatermark => {
                    self.cursors.settle(&mut checkout, &scope, &mine).await
                }
            };
            let settled = match settled {
                Err(error)
                    if error.kind() == ErrorKind::Database
                        && self.topic_is_gone(&mut checkout, &scope).await? =>
                {
                    vec![Outcome::Stale; mine.len()]
                }
                settled => settled?,
            };
            for (index, outcome) in indexes.into_iter().zip(settled) {
                outcomes[index] = outcome;
            }
        }
        self.held.settled(settlements, &outcomes);
        Ok(outcomes)
    }

    /// Whether the topic was deleted: then its hot functions are gone too.
    async fn topic_is_gone(&self, checkout: &mut Checkout, scope: &Scope) -> Result<bool> {
        let connection = checkout.get().await?;
        let found = subscriptions::get(connection, &scope.topic_name, scope.subscription).await?;
        Ok(found.is_none())
    }
}

#[async_trait]
impl Member for PostgresMember {
    fn subscription(&self) -> Subscription {
        self.subscription.get()
    }

    fn name(&self) -> &MemberName {
        &self.name
    }

    async fn fetch(&self, limit: usize) -> Result<Fetched> {
        self.check_open()?;
        if limit == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "limit must be 1 or more",
            ));
        }
        // A seek gives the subscription another bit; twice in a row it is left to the next call.
        for _ in 0..2 {
            let scope = self.scope();
            let answer = if self.paths.read().cursor_rests(&scope) {
                self.fetch_resting(&scope, limit).await
            } else {
                self.fetch_both(&scope, limit).await
            };
            match self.explain(&scope, answer).await? {
                Some(fetched) => {
                    self.counters.delivered(fetched.deliveries.len());
                    return Ok(fetched);
                }
                None => continue,
            }
        }
        Ok(Fetched::default())
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Outcome>> {
        self.check_open()?;
        let outcomes = self.settle_held(settlements).await?;
        self.counters.outcomes(&outcomes);
        Ok(outcomes)
    }

    async fn extend(&self, receipts: &[Receipt], by: Duration) -> Result<Vec<Extension>> {
        self.check_open()?;
        let mut checkout = self.backend.checkout()?;
        check_lease(by)?;
        let (scope, own) = self
            .of_this_incarnation(&mut checkout, receipts.iter())
            .await?;
        let mut extensions = vec![Extension::Stale; receipts.len()];
        for (form, indexes) in by_form(own, |index| &receipts[index]) {
            let mine: Vec<_> = indexes.iter().map(|index| receipts[*index]).collect();
            let extended = match form {
                CompletionMode::ReferenceCounting => {
                    let extended = self
                        .tracked
                        .extend(&mut checkout, &scope, &mine, by)
                        .await?;
                    self.held.extended(&mine, by);
                    extended
                }
                CompletionMode::OffsetWatermark => {
                    self.cursors
                        .extend(&mut checkout, &scope, &mine, by)
                        .await?
                }
            };
            for (index, extension) in indexes.into_iter().zip(extended) {
                extensions[index] = extension;
            }
        }
        Ok(extensions)
    }

    async fn heartbeat(&self) -> Result<Subscription> {
        self.check_open()?;
        let mut connection = self.backend.connection().await?;
        let scope = self.scope();
        let (topic, id, now) = (&scope.topic_name, scope.subscription, self.backend.now());
        // By subscription, not by group: a member of a cancelled one must not keep its successor
        // alive.
        let beaten = match subscriptions::beat_alive(&mut connection, topic, id, now).await? {
            Some(beaten) => beaten,
            None => match subscriptions::get(&mut connection, topic, id).await? {
                Some(dead) if dead.status == SubscriptionStatus::Dead => {
                    drop(connection);
                    let beaten = self.backend.heartbeat(topic, &dead.group).await?;
                    if beaten.id != id {
                        return Err(subscription_ended(&dead));
                    }
                    beaten
                }
                Some(ended) => return Err(subscription_ended(&ended)),
                None => return Err(topic_not_found(topic)),
            },
        };
        self.adopt(beaten.clone(), &scope);
        Ok(beaten)
    }

    fn counters(&self) -> MemberCounters {
        self.counters.read()
    }

    async fn leave(&self) -> Result<()> {
        self.left.store(true, Relaxed);
        // Again after a failure or a dropped call: what was not released is still in hand.
        loop {
            let releases = self.held.releases(RELEASE_BATCH);
            if releases.is_empty() {
                break;
            }
            self.settle_held(&releases).await?;
        }
        self.cursors.leave().await
    }
}

/// Indexes by the strategy that made their receipts.
fn by_form<'a>(
    indexes: Vec<usize>,
    receipt: impl Fn(usize) -> &'a Receipt,
) -> impl Iterator<Item = (CompletionMode, Vec<usize>)> {
    let is_tracked = |index: &usize| matches!(receipt(*index).form(), ReceiptForm::Tracked(_));
    let (tracked, cursor): (Vec<_>, Vec<_>) = indexes.into_iter().partition(is_tracked);
    let forms = [
        (CompletionMode::ReferenceCounting, tracked),
        (CompletionMode::OffsetWatermark, cursor),
    ];
    forms.into_iter().filter(|(_, indexes)| !indexes.is_empty())
}
