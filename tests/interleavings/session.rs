//! One session: a process with connections of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanout_core::{
    Backend, BackendExt, Delivery, Error, ErrorKind, Member, NewMessage, OpenTx, Outcome,
    Settlement, Subscribe, TopicName, Transactional, Verdict,
};
use fanout_postgres::PostgresBackend;
use fanout_postgres::diesel_async::pooled_connection::deadpool::Pool;
use fanout_postgres::diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use fanout_tests::postgres::connect;
use tokio_postgres::Client;

use crate::history::Happened;
use crate::sql;
use crate::stage::{Stage, connections, group_name, named, open, options};
use crate::step::{Gate, Group, Isolation, Step};

/// A transaction, a call, and upkeep beside it.
const CONNECTIONS: usize = 4;

type Tx = Box<dyn OpenTx<Tx = AsyncPgConnection>>;

/// Everything that a session has blocks in the database alone: nobody else uses its engine handle.
pub(crate) struct Session {
    pub(crate) name: String,
    pool: Pool<AsyncPgConnection>,
    backend: PostgresBackend,
    /// For what the engine does not offer.
    client: Client,
    clock: Arc<fanout_core::ManualClock>,
    topic: TopicName,
    topic_id: i32,
    tx: Option<Tx>,
    /// A statement of the open transaction has failed.
    tx_failed: bool,
    members: BTreeMap<Group, Arc<dyn Member>>,
    /// Members that fetch no more, to be dismissed when the interleaving is over.
    former: Vec<Arc<dyn Member>>,
    hand: Vec<(Group, Delivery)>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) async fn new(stage: &Stage, number: usize) -> Self {
        let name = format!("session-{number}");
        let pool = connections(&named(stage.database.url(), &name), CONNECTIONS);
        Self {
            backend: open(pool.clone(), &stage.clock).await,
            client: connect(&named(stage.database.url(), &name)).await,
            clock: stage.clock.clone(),
            topic: stage.topic.name.clone(),
            topic_id: stage.topic.id.0,
            tx: None,
            tx_failed: false,
            members: BTreeMap::new(),
            former: Vec::new(),
            hand: Vec::new(),
            pool,
            name,
        }
    }

    /// Takes a step.
    pub(crate) async fn take(&mut self, step: Step) -> Happened {
        match self.try_take(step).await {
            Ok(happened) => happened,
            Err(error) => Happened::Failed(error.kind(), error.to_string()),
        }
    }

    async fn try_take(&mut self, step: Step) -> Result<Happened, Error> {
        match step {
            Step::Begin(isolation) => self.begin(isolation).await,
            Step::Insert { keyed } => self.insert(keyed).await,
            Step::Commit => self.commit().await,
            Step::Rollback => self.roll_back().await,
            Step::Publish { keyed } => {
                let publishing = self.backend.publish(&self.topic, vec![message(keyed)]);
                Ok(Happened::Published(publishing.await?[0]))
            }
            Step::Subscribe(group, start) => {
                let subscribe = Subscribe {
                    start: start.position(),
                    options: options(group),
                };
                let name = group_name(group);
                self.backend
                    .subscribe(&self.topic, &name, subscribe)
                    .await?;
                Ok(Happened::Done)
            }
            Step::Seek(group, start) => {
                let (name, to) = (group_name(group), start.position());
                done(self.backend.seek(&self.topic, &name, to).await)
            }
            Step::Cancel(group) => done(self.backend.cancel(&self.topic, &group_name(group)).await),
            Step::Fetch(group, limit) => self.fetch(group, limit).await,
            Step::Settle => self.settle(|| Verdict::Done).await,
            Step::Fail => self.settle(|| Verdict::Fail("told to".to_owned())).await,
            Step::Release => self.settle(|| Verdict::Release).await,
            Step::SettleIn => self.settle_in().await,
            Step::Tick { wait } => {
                let tick = sql::take_tick(self.topic_id, wait);
                self.client.batch_execute(&tick).await.map_err(plain)?;
                Ok(Happened::Done)
            }
            Step::TickIn => {
                let tick = sql::take_tick(self.topic_id, true);
                self.in_tx(&tick).await
            }
            Step::Hold(gate) => self.hold(gate).await,
            Step::Mode(mode) => done(self.backend.migrate_topic(&self.topic, mode).await),
            Step::Expire => {
                self.clock.advance(crate::stage::EXPIRY);
                Ok(Happened::Done)
            }
            Step::Drop => {
                self.vanish().await;
                self.restart().await;
                Ok(Happened::Done)
            }
            Step::Leave => self.leave().await,
            Step::Maintain => done(self.backend.maintain().await),
        }
    }

    /// Does nothing any more, as a process that is killed, and waits until the server has noticed.
    pub(crate) async fn vanish(&mut self) {
        let members = std::mem::take(&mut self.members);
        self.former.extend(members.into_values());
        self.hand.clear();
        self.tx_failed = false;
        if self.tx.take().is_none() {
            return;
        }
        loop {
            let open = self
                .client
                .query_one(sql::IN_TRANSACTION, &[&self.name])
                .await
                .expect("reads");
            if open.get::<_, i64>(0) == 0 {
                return;
            }
        }
    }

    /// Lets its members go, so that the next interleaving, on the same topic, meets nothing of them.
    ///
    /// What a handle knows of a topic outlives members that were dropped or sought, so `anew` makes another.
    pub(crate) async fn dismiss(&mut self, mut anew: bool) {
        for member in std::mem::take(&mut self.former) {
            anew |= member.leave().await.is_err();
        }
        if anew {
            self.restart().await;
        }
    }

    /// Goes on as another process.
    async fn restart(&mut self) {
        self.former.clear();
        self.backend = open(self.pool.clone(), &self.clock).await;
    }

    async fn begin(&mut self, isolation: Isolation) -> Result<Happened, Error> {
        if self.tx.is_some() {
            return Ok(Happened::Nothing);
        }
        let mut tx = self.backend.begin().await?;
        if isolation != Isolation::ReadCommitted {
            let isolate = sql::isolate(isolation.name());
            tx.tx().batch_execute(&isolate).await.expect("isolates");
        }
        self.tx = Some(tx);
        Ok(Happened::Done)
    }

    /// The open transaction, unless it has failed.
    fn open(&mut self) -> Option<&mut Tx> {
        let failed = self.tx_failed;
        self.tx.as_mut().filter(|_| !failed)
    }

    async fn insert(&mut self, keyed: bool) -> Result<Happened, Error> {
        let (backend, topic) = (self.backend.clone(), self.topic.clone());
        let Some(tx) = self.open() else {
            return Ok(Happened::Nothing);
        };
        let published = backend
            .publish_in(tx.tx(), &topic, vec![message(keyed)])
            .await;
        self.tx_failed |= published.is_err();
        Ok(Happened::Published(published?[0]))
    }

    async fn settle_in(&mut self) -> Result<Happened, Error> {
        let receipts: Vec<_> = self.hand.iter().map(|(_, had)| had.receipt).collect();
        let backend = self.backend.clone();
        let Some(tx) = self.open().filter(|_| !receipts.is_empty()) else {
            return Ok(Happened::Nothing);
        };
        let settled = backend.settle_in(tx.tx(), &receipts).await;
        self.tx_failed |= settled.is_err();
        settled?;
        Ok(Happened::SettledIn(receipts))
    }

    async fn in_tx(&mut self, sql: &str) -> Result<Happened, Error> {
        let Some(tx) = self.open() else {
            return Ok(Happened::Nothing);
        };
        let done = tx.tx().batch_execute(sql).await;
        self.tx_failed |= done.is_err();
        match done {
            Ok(()) => Ok(Happened::Done),
            Err(error) => Err(Error::new(ErrorKind::Database, error.to_string())),
        }
    }

    async fn hold(&mut self, gate: Gate) -> Result<Happened, Error> {
        self.begin(Isolation::ReadCommitted).await?;
        let lock = gate.sql(self.topic_id);
        self.in_tx(&lock).await
    }

    async fn commit(&mut self) -> Result<Happened, Error> {
        if self.tx_failed {
            return self.roll_back().await;
        }
        match self.tx.take() {
            Some(tx) => done(tx.commit().await),
            None => Ok(Happened::Nothing),
        }
    }

    async fn roll_back(&mut self) -> Result<Happened, Error> {
        self.tx_failed = false;
        match self.tx.take() {
            Some(tx) => tx.rollback().await.map(|()| Happened::RolledBack),
            None => Ok(Happened::Nothing),
        }
    }

    async fn fetch(&mut self, group: Group, limit: usize) -> Result<Happened, Error> {
        let member = match self.members.get(&group) {
            Some(member) => member.clone(),
            None => {
                let name = group_name(group);
                let member = self.backend.join_group(&self.topic, &name).await?;
                self.members.insert(group, member.clone());
                member
            }
        };
        let fetched = member.fetch(limit).await;
        if let Err(error) = &fetched
            && error.kind() == ErrorKind::SubscriptionEnded
        {
            // The next fetch joins the subscription that there is then.
            self.former.extend(self.members.remove(&group));
        }
        let deliveries = fetched?.deliveries;
        self.hand
            .extend(deliveries.iter().map(|delivery| (group, delivery.clone())));
        Ok(Happened::Fetched(deliveries))
    }

    async fn settle(&mut self, verdict: impl Fn() -> Verdict) -> Result<Happened, Error> {
        let mut settled = Vec::new();
        let hand = std::mem::take(&mut self.hand);
        for (group, member) in self.members.clone() {
            let of_group = hand.iter().filter(|(of, _)| *of == group);
            let deliveries: Vec<Delivery> =
                of_group.map(|(_, delivery)| delivery.clone()).collect();
            if deliveries.is_empty() {
                continue;
            }
            let settlements: Vec<_> = deliveries
                .iter()
                .map(|delivery| Settlement {
                    receipt: delivery.receipt,
                    verdict: verdict(),
                })
                .collect();
            let outcomes = member.settle(&settlements).await?;
            for ((delivery, settlement), outcome) in
                deliveries.into_iter().zip(settlements).zip(outcomes)
            {
                if outcome == Outcome::OutOfOrder {
                    self.hand.push((group, delivery.clone()));
                }
                settled.push((delivery, settlement.verdict, outcome));
            }
        }
        Ok(if settled.is_empty() {
            Happened::Nothing
        } else {
            Happened::Settled(settled)
        })
    }

    async fn leave(&mut self) -> Result<Happened, Error> {
        self.hand.clear();
        for member in std::mem::take(&mut self.members).into_values() {
            self.former.push(member.clone());
            member.leave().await?;
        }
        Ok(Happened::Done)
    }
}

fn message(keyed: bool) -> NewMessage {
    let message = NewMessage::new("payload");
    if keyed { message.key("key") } else { message }
}

fn done<T>(result: Result<T, Error>) -> Result<Happened, Error> {
    result.map(|_| Happened::Done)
}

fn plain(error: tokio_postgres::Error) -> Error {
    let message = error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| db.message().to_owned());
    Error::new(ErrorKind::Database, message).with_source(error)
}
