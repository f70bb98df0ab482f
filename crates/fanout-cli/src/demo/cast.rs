//! All that is at work in a demo.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use fanout::{Error, MaintenanceRunner, Result, TopicName, Transactional};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::Demo;
use super::board::Progress;
use super::group::Group;
use super::publisher::{Publications, Published, Publisher};

pub(super) struct Cast {
    stop: watch::Sender<bool>,
    publications: Arc<Publications>,
    publisher: JoinHandle<Result<()>>,
    /// Groups and maintenance, which go on until they are stopped.
    others: JoinSet<Result<()>>,
}

impl Cast {
    pub(super) fn start<B: Transactional>(
        backend: &Arc<B>,
        topic: &TopicName,
        groups: &[Group],
        args: &Demo,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let mut others = JoinSet::new();
        for group in groups {
            let group = group.clone();
            others.spawn(group.work(Arc::clone(backend), topic.clone(), stop.subscribe()));
        }
        let mut stopped = stop.subscribe();
        others.spawn(
            MaintenanceRunner::new(Arc::clone(backend)).run_until(async move {
                // An error means that the demo is over, too.
                let _ = stopped.wait_for(|stop| *stop).await;
            }),
        );
        let publications = Arc::new(Publications::default());
        let publisher = Publisher {
            backend: Arc::clone(backend),
            topic: topic.clone(),
            publications: Arc::clone(&publications),
            args: args.clone(),
        };
        Self {
            publisher: tokio::spawn(publisher.run(stop.subscribe())),
            publications,
            stop,
            others,
        }
    }

    /// Waits for a failure of anybody but the publisher.
    pub(super) async fn failed(&mut self) -> Error {
        loop {
            match self.others.join_next().await {
                Some(ended) => {
                    if let Err(error) = result(ended) {
                        return error;
                    }
                }
                None => return pending().await,
            }
        }
    }

    /// Whether the publisher has come to its end, good or bad.
    pub(super) fn has_published(&self) -> bool {
        self.publisher.is_finished()
    }

    pub(super) fn progress(&self, wanted: u64) -> Progress {
        self.publications.with(|published| Progress {
            committed: published.committed.len() as u64,
            wanted,
            rolled_back: published.rolled_back.len() as u64,
        })
    }

    /// Lets all come to their end, and returns what was published.
    pub(super) async fn end(mut self) -> Result<Published> {
        self.stop.send_replace(true);
        let mut ended = result(self.publisher.await);
        while let Some(other) = self.others.join_next().await {
            ended = ended.and(result(other));
        }
        ended.map(|()| self.publications.with(|published| published.clone()))
    }
}

fn result(ended: Result<Result<()>, JoinError>) -> Result<()> {
    match ended {
        Ok(result) => result,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // Nobody cancels them but the end of the runtime.
        Err(_) => Ok(()),
    }
}
