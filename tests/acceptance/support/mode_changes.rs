//! Somebody who changes the mode of a topic again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fanout_core::Backend;
use tokio::task::JoinHandle;

use super::{Ledger, Stage};

/// Changes the mode back and forth while messages are delivered.
#[derive(Debug)]
pub(crate) struct ModeChanges {
    changes: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl ModeChanges {
    /// Changes it each time `every` more messages were delivered. Two changes of four, one in each
    /// direction, are held open as long: nothing would be delivered, and this would not go on, if anybody
    /// waited for it.
    pub(crate) async fn start(stage: &Stage, ledger: &Arc<Ledger>, every: usize) -> Self {
        let backend = stage.process(1).await;
        let client = stage.connect().await;
        let (topic, ledger) = (stage.topic.clone(), ledger.clone());
        let changes = Arc::new(AtomicUsize::new(0));
        let count = changes.clone();
        let task = tokio::spawn(async move {
            let mut mode = topic.config.completion_mode;
            loop {
                let until = async || {
                    ledger
                        .until_delivered(ledger.delivered_so_far() + every)
                        .await;
                };
                mode = mode.other();
                if count.load(Relaxed) % 4 < 2 {
                    let changed = backend.migrate_topic(&topic.name, mode).await;
                    let changed = changed.expect("the mode can be changed at any time");
                    assert_eq!(changed.config.completion_mode, mode);
                } else {
                    let change = format!(
                        "BEGIN; UPDATE fanout.outbox_topics SET completion_mode = '{mode}' WHERE topic_id = {}",
                        topic.id
                    );
                    client.batch_execute(&change).await.expect("changes");
                    until().await;
                    client.batch_execute("COMMIT").await.expect("commits");
                }
                count.fetch_add(1, Relaxed);
                until().await;
            }
        });
        Self { changes, task }
    }

    /// Stops, wherever it is; returns how often the mode changed.
    pub(crate) async fn stop(self) -> usize {
        self.task.abort();
        let end = self.task.await.expect_err("it runs until it is stopped");
        assert!(end.is_cancelled(), "a change failed: {end}");
        self.changes.load(Relaxed)
    }
}
