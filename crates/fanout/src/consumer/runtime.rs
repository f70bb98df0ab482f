//! The consumer: what users build, run and stop.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Backend, GroupName, MemberName, Result, TopicName};
use tokio::task::JoinSet;

use super::counters::Tally;
use super::session::{Post, Session};
use super::settings::Settings;
use super::{ConsumerCounters, Handler};
use crate::stop::Stop;

/// Consumes a group of a topic, or a queue: fetches, handles, settles, keeps leases and the
/// subscription alive.
///
/// - Handlers run as tasks, so it needs a tokio runtime; a handler that panics fails its delivery.
/// - Leases of what is in hand are extended when half of them has passed.
/// - In a group that wants [order](crate::Ordering::PerKey) the messages of one key are handled one
///   after another. A failure is settled before the next of its key begins; with
///   [`OnFailure::Block`](crate::OnFailure::Block) the lane waits for it, and what was fetched after
///   it in the lane is dropped unhandled, to come again behind it.
/// - While the subscription is paused it idles; when it has ended, [`run`](Self::run) returns an
///   error of kind [`SubscriptionEnded`](crate::ErrorKind::SubscriptionEnded).
/// - Errors that may pass ([transient](crate::ErrorKind::is_transient) ones and
///   [`Unknown`](crate::ErrorKind::Unknown)) are waited out; others end it.
/// - A stop lets running handlers end, settles them, gives back what has not begun, and leaves.
///   Dropping the future of `run` is a crash: what is in hand comes again after its lease.
///
/// ```
/// # use std::sync::Arc;
/// use fanout::{Backend, BoxError, Consumer, Delivery, GroupName, Result, TopicName};
///
/// async fn consume(backend: Arc<dyn Backend>) -> Result<()> {
///     let topic = TopicName::new("orders")?;
///     let consumer = Consumer::group(backend, topic, GroupName::new("billing")?).batch_size(500);
///     let handle = consumer.handle();
///     let running = tokio::spawn(consumer.run(async |delivery: &Delivery| {
///         println!("{}", delivery.message.id);
///         Ok::<(), BoxError>(())
///     }));
///     // … until the service ends:
///     handle.stop();
///     running.await.expect("the consumer does not panic")
/// }
/// ```
pub struct Consumer<B: ?Sized> {
    backend: Arc<B>,
    post: Post,
    settings: Settings,
    handle: ConsumerHandle,
}

/// Stops a consumer, and reads its counters, from anywhere.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {
    stop: Stop,
    tally: Arc<Tally>,
}

impl ConsumerHandle {
    /// Asks the consumer to stop. Also before it runs: then it does not begin.
    pub fn stop(&self) {
        self.stop.request();
    }

    /// What it has counted so far.
    #[must_use]
    pub fn counters(&self) -> ConsumerCounters {
        self.tally.read()
    }
}

impl<B: Backend + ?Sized> Consumer<B> {
    /// A consumer of a group that is subscribed to a pub/sub topic.
    #[must_use]
    pub fn group(backend: Arc<B>, topic: TopicName, group: GroupName) -> Self {
        Self::new(backend, topic, Some(group))
    }

    /// A consumer of a queue topic.
    #[must_use]
    pub fn queue(backend: Arc<B>, topic: TopicName) -> Self {
        Self::new(backend, topic, None)
    }

    fn new(backend: Arc<B>, topic: TopicName, group: Option<GroupName>) -> Self {
        Self {
            backend,
            post: Post {
                topic,
                group,
                name: None,
            },
            settings: Settings::default(),
            handle: ConsumerHandle {
                stop: Stop::new(),
                tally: Arc::default(),
            },
        }
    }

    /// What its members are called in listings. Default: names that the engine makes up.
    #[must_use]
    pub fn name(mut self, name: MemberName) -> Self {
        self.post.name = Some(name);
        self
    }

    /// How many members it joins as, each with handlers and calls of its own. Default: 1.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.settings.members = members;
        self
    }

    /// How many messages a member has fetched and not handled at most. Default: 100.
    #[must_use]
    pub fn batch_size(mut self, messages: usize) -> Self {
        self.settings.batch_size = messages;
        self
    }

    /// How many handlers of a member run at once; in a group that wants order never two of a key.
    /// Default: 16.
    #[must_use]
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.settings.concurrency = handlers;
        self
    }

    /// How long to wait after a fetch that found nothing: at first `min`, doubling up to `max`.
    /// Default: 1 ms and 250 ms.
    #[must_use]
    pub fn poll(mut self, min: Duration, max: Duration) -> Self {
        (self.settings.poll_min, self.settings.poll_max) = (min, max);
        self
    }

    /// How long a handled message may wait for others, to be settled with them in one call. It
    /// does not wait when nothing else is at work. Default: 10 ms.
    #[must_use]
    pub fn settle_after(mut self, wait: Duration) -> Self {
        self.settings.settle_after = wait;
        self
    }

    /// For how long a stop waits for running handlers and for settlements; handlers that still run
    /// then are aborted, and their messages come again. Default: 30 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// To stop it and to read its counters.
    #[must_use]
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// Consumes until it is stopped through its [handle](Self::handle), or fails.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for settings that make no sense; those of
    /// [`Backend::join`]; whatever ended a member that does not pass by waiting, such as
    /// [`SubscriptionEnded`](crate::ErrorKind::SubscriptionEnded). When one member fails, the
    /// others stop.
    pub async fn run<H: Handler>(self, handler: H) -> Result<()> {
        self.settings.check()?;
        let handler = Arc::new(handler);
        let mut sessions = JoinSet::new();
        for _ in 0..self.settings.members {
            sessions.spawn(Session::run(
                Arc::clone(&self.backend),
                self.post.clone(),
                self.settings,
                Arc::clone(&handler),
                Arc::clone(&self.handle.tally),
                self.handle.stop.clone(),
            ));
        }
        let mut result = Ok(());
        while let Some(joined) = sessions.join_next().await {
            let ended = match joined {
                Ok(ended) => ended,
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // Only this future aborts sessions, when it is dropped.
                Err(_) => Ok(()),
            };
            if ended.is_err() {
                self.handle.stop();
                result = result.and(ended);
            }
        }
        result
    }

    /// Consumes until `shutdown` completes, it is stopped through its [handle](Self::handle), or
    /// fails. Errors as [`run`](Self::run).
    pub async fn run_until<H: Handler>(
        self,
        handler: H,
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        let handle = self.handle();
        let mut running = std::pin::pin!(self.run(handler));
        tokio::select! {
            result = &mut running => result,
            () = shutdown => {
                handle.stop();
                running.await
            }
        }
    }
}

impl<B: ?Sized> fmt::Debug for Consumer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("post", &self.post)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
