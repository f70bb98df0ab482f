//! A consumer's session: routes to the strategies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use diesel_async::AsyncPgConnection;
use fanout_core::{
    Backend, CompletionStrategy, Error, ErrorKind, Extension, Fetched, Member, MemberCounters,
    MemberName, Outcome, Receipt, Result, Scope, Settlement, Subscription, SubscriptionStatus,
    TopicId, check_lease,
};
use parking_lot::RwLock;

use crate::PostgresBackend;
use crate::counters::Counters;
use crate::error::{foreign_receipt, subscription_ended, topic_not_found};
use crate::held::Held;
use crate::pool::Connection;
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
    subscription: RwLock<Subscription>,
    tracked: ReferenceCounting,
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
        let tracked = ReferenceCounting::new(backend.clock(), counters.clone());
        Self {
            backend,
            topic,
            name,
            subscription: RwLock::new(subscription),
            tracked,
            counters,
            held: Held::default(),
            left: AtomicBool::new(false),
        }
    }

    fn scope(&self) -> Scope {
        let subscription = self.subscription.read();
        Scope {
            topic: self.topic,
            topic_name: subscription.topic.clone(),
            subscription: subscription.id,
            group: subscription.group_index,
            options: subscription.options.clone(),
        }
    }

    async fn connection(&self) -> Result<Connection> {
        if self.left.load(Relaxed) {
            return Err(Error::new(
                ErrorKind::Closed,
                format!("member has left its group member=`{}`", self.name),
            ));
        }
        self.backend.connection().await
    }

    /// Why a subscription delivers nothing any more.
    async fn ended(&self, connection: &mut AsyncPgConnection, scope: &Scope) -> Error {
        match subscriptions::get(connection, &scope.topic_name, scope.subscription).await {
            Ok(None) => topic_not_found(&scope.topic_name),
            Ok(Some(subscription)) => subscription_ended(&subscription),
            Err(error) => error,
        }
    }

    /// The indexes of the receipts that are of this very subscription. Those of the group's former or
    /// later subscriptions are stale; any other is an error.
    async fn of_this_incarnation<'a>(
        &self,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
        receipts: impl Iterator<Item = &'a Receipt> + Clone + Send,
    ) -> Result<Vec<usize>> {
        let is_own =
            |receipt: &Receipt| (receipt.topic(), receipt.group()) == (scope.topic, scope.group);
        if !receipts.clone().all(is_own) {
            let names = subscriptions::names(connection, scope.topic).await?;
            let group = self.subscription.read().group.clone();
            for receipt in receipts.clone().filter(|receipt| !is_own(receipt)) {
                if receipt.topic() != scope.topic || names.get(&receipt.group().0) != Some(&group) {
                    return Err(foreign_receipt(receipt));
                }
            }
        }
        let own = receipts.enumerate().filter(|(_, receipt)| is_own(receipt));
        Ok(own.map(|(index, _)| index).collect())
    }

    /// Whether the topic was deleted: then its hot functions are gone too.
    async fn topic_is_gone(&self, connection: &mut AsyncPgConnection, scope: &Scope) -> bool {
        matches!(
            subscriptions::get(connection, &scope.topic_name, scope.subscription).await,
            Ok(None)
        )
    }
}

#[async_trait]
impl Member for PostgresMember {
    fn subscription(&self) -> Subscription {
        self.subscription.read().clone()
    }

    fn name(&self) -> &MemberName {
        &self.name
    }

    async fn fetch(&self, limit: usize) -> Result<Fetched> {
        let mut connection = self.connection().await?;
        if limit == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "limit must be 1 or more",
            ));
        }
        let scope = self.scope();
        let claimed = match self.tracked.claim(&mut connection, &scope, limit).await {
            Err(error) if error.kind() == ErrorKind::Database => {
                return Err(if self.topic_is_gone(&mut connection, &scope).await {
                    topic_not_found(&scope.topic_name)
                } else {
                    error
                });
            }
            claimed => claimed?,
        };
        match claimed.status {
            SubscriptionStatus::Active | SubscriptionStatus::Paused => {
                self.counters.delivered(claimed.fetched.deliveries.len());
                self.held
                    .take(&claimed.fetched.deliveries, scope.options.lease);
                Ok(claimed.fetched)
            }
            SubscriptionStatus::Cancelled | SubscriptionStatus::Dead => {
                Err(self.ended(&mut connection, &scope).await)
            }
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Outcome>> {
        let mut connection = self.connection().await?;
        let scope = self.scope();
        let receipts = settlements.iter().map(|settlement| &settlement.receipt);
        let own = self
            .of_this_incarnation(&mut connection, &scope, receipts)
            .await?;
        let mine: Vec<_> = own
            .iter()
            .map(|index| settlements[*index].clone())
            .collect();
        let settled = match self.tracked.settle(&mut connection, &scope, &mine).await {
            Err(error)
                if error.kind() == ErrorKind::Database
                    && self.topic_is_gone(&mut connection, &scope).await =>
            {
                vec![Outcome::Stale; mine.len()]
            }
            outcomes => outcomes?,
        };
        let mut outcomes = vec![Outcome::Stale; settlements.len()];
        for (index, outcome) in own.into_iter().zip(settled) {
            outcomes[index] = outcome;
        }
        self.counters.outcomes(&outcomes);
        self.held.settled(settlements, &outcomes);
        Ok(outcomes)
    }

    async fn extend(&self, receipts: &[Receipt], by: Duration) -> Result<Vec<Extension>> {
        let mut connection = self.connection().await?;
        check_lease(by)?;
        let scope = self.scope();
        let own = self
            .of_this_incarnation(&mut connection, &scope, receipts.iter())
            .await?;
        let mine: Vec<_> = own.iter().map(|index| receipts[*index]).collect();
        let extended = self
            .tracked
            .extend(&mut connection, &scope, &mine, by)
            .await?;
        self.held.extended(&mine, by);
        let mut extensions = vec![Extension::Stale; receipts.len()];
        for (index, extension) in own.into_iter().zip(extended) {
            extensions[index] = extension;
        }
        Ok(extensions)
    }

    async fn heartbeat(&self) -> Result<Subscription> {
        let mut connection = self.connection().await?;
        let scope = self.scope();
        let (topic, id, now) = (&scope.topic_name, scope.subscription, self.backend.now());
        // By subscription, not by group: a member of a cancelled one must not keep its successor
        // alive.
        let beaten = match subscriptions::beat_alive(&mut connection, topic, id, now).await? {
            Some(beaten) => beaten,
            None => match subscriptions::get(&mut connection, topic, id).await? {
                Some(dead) if dead.status == SubscriptionStatus::Dead => {
                    drop(connection);
                    self.backend.heartbeat(topic, &dead.group).await?
                }
                Some(ended) => return Err(subscription_ended(&ended)),
                None => return Err(topic_not_found(topic)),
            },
        };
        self.subscription.write().clone_from(&beaten);
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
                return Ok(());
            }
            let mut connection = self.backend.connection().await?;
            let outcomes = self
                .tracked
                .settle(&mut connection, &self.scope(), &releases)
                .await?;
            self.held.settled(&releases, &outcomes);
        }
    }
}

/// The topic and group that all receipts are of.
pub(crate) fn common_group(
    receipts: &[Receipt],
) -> Result<Option<(TopicId, fanout_core::GroupIndex)>> {
    let Some(first) = receipts.first() else {
        return Ok(None);
    };
    let group = (first.topic(), first.group());
    match receipts
        .iter()
        .find(|receipt| (receipt.topic(), receipt.group()) != group)
    {
        Some(other) => Err(foreign_receipt(other)),
        None => Ok(Some(group)),
    }
}
