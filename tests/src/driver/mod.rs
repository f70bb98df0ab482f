//! Does to an engine what a history says, and tells the acceptor what the engine answered.

mod bad_input;
mod consuming;
mod drain;
mod migrating;
mod observing;
mod picking;
mod publishing;
mod subscribing;
mod touching;
mod transacting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Clock, DeleteTopic, ManualClock, Member, OpenTx, Semantics, Timestamp, Topic, TopicConfig,
    TopicName, Transactional,
};

use crate::acceptor::{Acceptor, Checked, Ending, Seat, Violation};
use crate::coverage::Seen;
use crate::handler::Handler;
use crate::history::History;
use crate::op::{Op, Purpose};
use crate::reader::{Channel, Order, Reader};
use crate::terms::Terms;

/// Most members at a time.
const MEMBERS: usize = 6;

/// Longer than anybody holds a lane after the last word.
const FAR: Duration = Duration::from_secs(120);

/// An engine under a history.
struct Driver<'a, B: Transactional> {
    backend: &'a B,
    clock: &'a ManualClock,
    handler: &'a Handler,
    maintained: bool,
    members_stay: bool,
    orders: [Order; 3],
    terms: Terms,
    acceptor: Acceptor,
    members: Vec<Seated>,
    open: BTreeMap<u8, Box<dyn OpenTx<Tx = B::Tx>>>,
    sessions: u32,
}

/// A member that has joined.
#[derive(Clone)]
struct Seated {
    member: Arc<dyn Member>,
    seat: Seat,
    session: u32,
}

/// Runs a history on an engine, on topics of these names, until it is drained.
///
/// The topics are gone afterwards, unless it fails.
pub async fn run<B: Transactional>(
    backend: &B,
    clock: &ManualClock,
    topics: &BTreeMap<Channel, TopicName>,
    terms: Terms,
    history: &History,
) -> Checked<(Ending, Seen)> {
    let mut driver = Driver::begin(backend, clock, topics, terms, history).await?;
    for (step, op) in history.ops.iter().enumerate() {
        let under = |violation: Violation| violation.during(format_args!("{}. {op:?}", step + 1));
        let touched = driver.touched(step, op);
        driver.step(op).await.map_err(under)?;
        driver.observe(&touched).await.map_err(under)?;
    }
    let at_end = |violation: Violation| violation.during("in the end");
    driver.drain().await.map_err(at_end)?;
    driver.observe(&Channel::ALL).await.map_err(at_end)?;
    driver
        .check_watermarks(&Channel::ALL, true)
        .await
        .map_err(at_end)?;
    for channel in Channel::ALL {
        driver.account(channel).await.map_err(at_end)?;
    }
    driver.delete().await.map_err(at_end)?;
    Ok((driver.acceptor.ending(), driver.acceptor.seen().clone()))
}

impl<'a, B: Transactional> Driver<'a, B> {
    async fn begin(
        backend: &'a B,
        clock: &'a ManualClock,
        names: &BTreeMap<Channel, TopicName>,
        terms: Terms,
        history: &'a History,
    ) -> Checked<Self> {
        let mut topics = BTreeMap::new();
        for channel in Channel::ALL {
            let semantics = match channel {
                Channel::PubSub => Semantics::PubSub,
                Channel::Queue => Semantics::Queue,
            };
            let config = TopicConfig {
                semantics,
                completion_mode: terms.modes.first(history),
                lanes: history.lanes,
                block_writes_on_zero_subscriptions: history.blocks_writes
                    && semantics == Semantics::PubSub,
                ..TopicConfig::default()
            };
            let topic = created(backend, &names[&channel], config).await?;
            topics.insert(channel, topic);
        }
        let mut acceptor = Acceptor::new(topics);
        let queue = backend
            .subscription(&names[&Channel::Queue], &Reader::Queue.group())
            .await;
        acceptor.on_built_in(&queue, clock.now())?;
        Ok(Self {
            backend,
            clock,
            handler: &history.handler,
            maintained: history.maintained,
            members_stay: history.members_stay,
            orders: history.orders,
            terms,
            acceptor,
            members: Vec::new(),
            open: BTreeMap::new(),
            sessions: 0,
        })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn topic(&self, channel: Channel) -> TopicName {
        self.acceptor.topic(channel).clone()
    }

    async fn step(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Publish { channel, batch } => self.publish(channel, batch).await,
            Op::Open { purpose } => self.open(purpose).await.map(drop),
            Op::PublishIn { tx, channel, batch } => self.publish_in(tx, channel, batch).await,
            Op::SettleIn {
                tx,
                reader,
                source,
                pick,
            } => self.settle_in(tx, reader, source, pick).await,
            Op::Commit { tx } => match self.find_open(tx) {
                Some(tx) => self.commit(tx).await,
                None => Ok(()),
            },
            Op::Rollback { tx } => match self.find_open(tx) {
                Some(tx) => self.rollback(tx).await,
                None => Ok(()),
            },
            Op::Migrate { channel, mode } => self.migrate(channel, mode).await,
            Op::Subscribe {
                reader,
                lease,
                start,
            } => self.subscribe(reader, lease, start).await,
            Op::Seek { reader, to } => self.seek(reader, to).await,
            Op::Pause { reader } => self.pause(reader).await,
            Op::Resume { reader } => self.resume(reader).await,
            Op::Cancel { reader } => self.cancel(reader).await,
            Op::Heartbeat { reader } => self.heartbeat(reader).await,
            Op::Join { reader } => self.join(reader).await.map(drop),
            Op::Beat { member } => self.beat(member).await,
            Op::Crash { member } => {
                self.crash(member);
                Ok(())
            }
            Op::Leave { member } => self.leave(member).await,
            Op::Fetch { member, limit } => self.fetch_some(member, limit).await,
            Op::Handle {
                member,
                source,
                pick,
            } => self.handle_some(member, source, pick).await,
            Op::Extend {
                member,
                source,
                pick,
                by,
            } => self.extend_some(member, source, pick, by).await,
            Op::Maintain => {
                self.maintain().await?;
                for channel in Channel::ALL {
                    self.account(channel).await?;
                }
                Ok(())
            }
            Op::Tick(tick) => {
                self.tick(tick);
                Ok(())
            }
            Op::Expire(expire) => {
                self.expire(expire);
                Ok(())
            }
            Op::Delete { channel } => self.refuse_deletion(channel).await,
            Op::Bad(bad) => self.refuse(bad).await,
        }
    }

    /// One round of maintenance; tells whether there was nothing to do.
    async fn maintain(&mut self) -> Checked<bool> {
        let report = self
            .backend
            .maintain()
            .await
            .map_err(|error| Violation::refused("maintain", &error))?;
        self.acceptor.on_maintain();
        Ok(report.is_idle())
    }

    /// Everything is settled, so the topics can go; their dead letters stay.
    async fn delete(&mut self) -> Checked {
        for channel in Channel::ALL {
            let topic = self.topic(channel);
            self.backend
                .delete_topic(&topic, DeleteTopic::IfSettled)
                .await
                .map_err(|error| Violation::refused("delete", &error))?;
            self.check_dead_letters(channel).await?;
        }
        Ok(())
    }

    /// The open transaction that a number names.
    fn find_open(&self, number: u8) -> Option<u8> {
        let index = usize::from(number) % self.open.len().max(1);
        self.open.keys().nth(index).copied()
    }

    fn purpose(&self, tx: u8) -> Purpose {
        self.acceptor.transaction(tx).purpose
    }
}

async fn created<B: Transactional>(
    backend: &B,
    name: &TopicName,
    config: TopicConfig,
) -> Checked<Topic> {
    let topic = backend
        .create_topic(name, config.clone())
        .await
        .map_err(|error| Violation::refused("create", &error))?;
    if topic.name != *name || topic.config != config {
        return Err(Violation::new(format!("create: got {topic:?}")));
    }
    Ok(topic)
}
