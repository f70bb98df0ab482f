//! Publishers whose transactions do not commit in order of their ids.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use fanout_core::{MessageId, NewMessage, OpenTx, TopicName, Transactional};
use fanout_postgres::PostgresBackend;
use fanout_postgres::diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio::task::JoinSet;

use super::{Chance, Gate, Known, Ledger, Published};

/// Publishers that publish in transactions of their own, hold them open, roll some back and commit
/// late.
#[derive(Clone, Debug)]
pub(crate) struct Publishers {
    pub(crate) count: usize,
    /// Transactions of each.
    pub(crate) transactions: usize,
    /// Most messages of one statement.
    pub(crate) batch: usize,
    /// Number of keys; 0 for messages without.
    pub(crate) keys: usize,
    /// Of a hundred transactions, how many are held open until others have ended.
    pub(crate) held: usize,
    /// How many sleep in the server.
    pub(crate) sleeping: usize,
    /// How many roll back, and how many roll a savepoint back.
    pub(crate) rolled_back: usize,
    pub(crate) savepoints: usize,
    /// How many keep the snapshot that they begin with.
    pub(crate) repeatable: usize,
    pub(crate) seed: u64,
}

/// Hears of the lowest id of a transaction right before it commits or rolls back, which it may delay.
pub(crate) type BeforeEnd =
    Arc<dyn Fn(MessageId) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Publishers {
    /// Publishes everything; needs a connection for each publisher, and the one that the engine keeps.
    pub(crate) async fn run(
        &self,
        backend: &PostgresBackend,
        topic: &TopicName,
        ledger: &Arc<Ledger>,
        published: &Arc<Published>,
        before_end: Option<BeforeEnd>,
    ) {
        let gate = Arc::new(Gate::new(self.count));
        let mut tasks = JoinSet::new();
        for number in 0..self.count {
            let publisher = Publisher {
                plan: self.clone(),
                chance: Chance::new(self.seed ^ (number as u64 + 1) << 32),
                backend: backend.clone(),
                topic: topic.clone(),
                ledger: ledger.clone(),
                published: published.clone(),
                gate: gate.clone(),
                before_end: before_end.clone(),
            };
            tasks.spawn(publisher.run());
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no publisher panics");
        }
    }
}

struct Publisher {
    plan: Publishers,
    chance: Chance,
    backend: PostgresBackend,
    topic: TopicName,
    ledger: Arc<Ledger>,
    published: Arc<Published>,
    gate: Arc<Gate>,
    before_end: Option<BeforeEnd>,
}

impl Publisher {
    async fn run(mut self) {
        for _ in 0..self.plan.transactions {
            self.transaction().await;
            self.gate.ended();
        }
        self.gate.finished();
    }

    async fn transaction(&mut self) {
        let mut open = self.backend.begin().await.expect("begins");
        if self.chance.percent(self.plan.repeatable) {
            let level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
            execute(open.tx(), level).await;
        }
        let mut kept = self.publish(open.tx()).await;
        if self.chance.percent(self.plan.savepoints) {
            execute(open.tx(), "SAVEPOINT undone").await;
            let undone = self.publish(open.tx()).await;
            execute(open.tx(), "ROLLBACK TO SAVEPOINT undone").await;
            self.published.rolled_back(undone.iter().map(|(id, _)| *id));
            execute(open.tx(), "SAVEPOINT kept").await;
            kept.extend(self.publish(open.tx()).await);
        }
        if self.chance.percent(self.plan.sleeping) {
            let seconds = self.chance.below(20) as f64 / 1000.0;
            execute(open.tx(), &format!("SELECT pg_sleep({seconds})")).await;
        }
        if self.chance.percent(self.plan.held) {
            let others = 1 + self.chance.below(2 * self.plan.count) as u64;
            self.gate.hold(others).await;
        }
        self.end(open, kept).await;
    }

    async fn end(
        &mut self,
        open: Box<dyn OpenTx<Tx = AsyncPgConnection>>,
        mut kept: Vec<(MessageId, Known)>,
    ) {
        if let Some(before_end) = &self.before_end {
            before_end(kept[0].0).await;
        }
        if self.chance.percent(self.plan.rolled_back) {
            open.rollback().await.expect("rolls back");
            self.published.rolled_back(kept.iter().map(|(id, _)| *id));
            return;
        }
        open.commit().await.expect("commits");
        let committed = self.ledger.stamp();
        for (_, known) in &mut kept {
            known.committed = committed;
        }
        self.published.committed(kept);
    }

    async fn publish(&mut self, tx: &mut AsyncPgConnection) -> Vec<(MessageId, Known)> {
        let count = 1 + self.chance.below(self.plan.batch);
        // Half of them have few keys, so that messages share them.
        let key = |chance: &mut Chance| {
            let keys = self.plan.keys;
            let hot = chance.percent(50);
            let end = if hot { keys.div_ceil(20) } else { keys };
            format!("key {}", chance.below(end))
        };
        let messages: Vec<NewMessage> = (0..count)
            .map(|_| match self.plan.keys {
                0 => NewMessage::new("message"),
                _ => NewMessage::new("message").key(key(&mut self.chance)),
            })
            .collect();
        let keys: Vec<Option<String>> = messages.iter().map(|m| m.key.clone()).collect();
        let began = self.ledger.stamp();
        let ids = self
            .backend
            .publish_in(tx, &self.topic, messages)
            .await
            .expect("publishes");
        let known = |key| Known {
            key,
            began,
            committed: 0,
        };
        ids.into_iter().zip(keys.into_iter().map(known)).collect()
    }
}

async fn execute(tx: &mut AsyncPgConnection, statement: &str) {
    tx.batch_execute(statement).await.expect(statement);
}
