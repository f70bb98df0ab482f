//! Moving a topic to another completion mode.

use std::time::Duration;

use fanout_core::{
    Backend, CompletionMode, Error, ErrorKind, GroupRemaining, Result, TopicId, TopicName,
};

use crate::pace::{Pace, ask_again};

/// A topic on its way to another completion mode.
///
/// New messages are accounted for in the new mode from the beginning. Older ones keep their accounting
/// and drain by it; this tells how many are left. Nothing depends on it: dropping it changes nothing,
/// and the topic may be moved back at any moment.
///
/// ```
/// use fanout::{Backend, CompletionMode, MemoryBackend, Migration, TopicConfig, TopicName};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), fanout::Error> {
/// let backend = MemoryBackend::new();
/// let orders = TopicName::new("orders")?;
/// backend.create_topic(&orders, TopicConfig::default()).await?;
///
/// let migration = Migration::start(&backend, &orders, CompletionMode::OffsetWatermark).await?;
/// assert!(migration.progress().await?.is_done());
/// migration.reverse().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the mode has changed; drop this on purpose when nobody wants to know what remains"]
pub struct Migration<'a, B: ?Sized> {
    backend: &'a B,
    topic: TopicName,
    /// Another topic may be made under the name.
    id: TopicId,
    to: CompletionMode,
    changed: bool,
}

/// How far a topic has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationProgress {
    /// The mode that the topic has now: another than was asked for when somebody has moved it back.
    pub mode: CompletionMode,
    /// What each live group still owes of the messages of the other mode, by name.
    pub groups: Vec<GroupRemaining>,
}

impl MigrationProgress {
    /// How much the groups that count owe together: those that are active or paused.
    #[must_use]
    pub fn messages(&self) -> u64 {
        let counting = self.groups.iter().filter(|group| group.status.counts());
        counting.map(|group| group.messages).sum()
    }

    /// Whether nothing of the other mode is left for a group that counts.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.messages() == 0
    }
}

impl<'a, B: Backend + ?Sized> Migration<'a, B> {
    /// Changes the topic's mode, or finds it changed.
    ///
    /// # Errors
    /// Those of [`Backend::migrate_topic`].
    pub async fn start(backend: &'a B, topic: &TopicName, to: CompletionMode) -> Result<Self> {
        let before = backend.topic(topic).await?.config.completion_mode;
        let changed = backend.migrate_topic(topic, to).await?;
        Ok(Self {
            backend,
            topic: topic.clone(),
            id: changed.id,
            to,
            changed: before != to,
        })
    }

    /// Whether the topic was in the other mode before. If not, this changed nothing; what is left may
    /// be of an earlier change.
    #[must_use]
    pub const fn has_changed(&self) -> bool {
        self.changed
    }

    /// The mode that was asked for.
    #[must_use]
    pub const fn to(&self) -> CompletionMode {
        self.to
    }

    /// Reads what is left.
    ///
    /// # Errors
    /// Those of [`Backend::remaining`]; [`ErrorKind::TopicNotFound`] also when another topic has the name
    /// now.
    pub async fn progress(&self) -> Result<MigrationProgress> {
        let groups = self.backend.remaining(&self.topic, self.to.other()).await?;
        // Last: of a topic that was deleted meanwhile nothing is left either.
        let topic = self.backend.topic(&self.topic).await?;
        if topic.id != self.id {
            return Err(Error::new(
                ErrorKind::TopicNotFound,
                format!(
                    "topic was deleted, and another made under its name topic=`{}`",
                    self.topic
                ),
            ));
        }
        let mode = topic.config.completion_mode;
        Ok(MigrationProgress { mode, groups })
    }

    /// Waits until nothing of the former mode is left, or somebody has moved the topic back; returns the
    /// last progress.
    ///
    /// It asks every 50 ms to 2 s, and goes on after failures that pass. It may be dropped at any
    /// point. A group that is paused, or that nobody consumes for, keeps it waiting. A publisher that
    /// was open across the change may add to the former mode even afterwards; what it adds drains like
    /// the rest.
    ///
    /// # Errors
    /// Those of [`Backend::remaining`] that do not pass.
    pub async fn wait(&self) -> Result<MigrationProgress> {
        self.wait_with(|_| {}).await
    }

    /// As [`wait`](Self::wait), and shows each progress as it is read.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn wait_with(
        &self,
        mut seen: impl FnMut(&MigrationProgress),
    ) -> Result<MigrationProgress> {
        let mut pace = Pace::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            match self.progress().await {
                Ok(progress) => {
                    seen(&progress);
                    if progress.is_done() || progress.mode != self.to {
                        return Ok(progress);
                    }
                }
                Err(error) if ask_again(error.kind()) => {
                    tracing::debug!(topic = %self.topic, %error, "progress could not be read");
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pace.miss()).await;
        }
    }

    /// Moves the topic back. Messages of the new mode drain by it.
    ///
    /// # Errors
    /// Those of [`Backend::migrate_topic`].
    pub async fn reverse(self) -> Result<Self> {
        Self::start(self.backend, &self.topic, self.to.other()).await
    }
}
