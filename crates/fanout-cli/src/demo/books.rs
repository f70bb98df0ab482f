//! The engine's own accounting.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fanout::{Backend, CompletionMode, GroupName, MessageId, Result, TopicName, Watermark};
use tokio::time::sleep;

use super::group::Group;
use super::publisher::Published;

/// How much of the accounting is read at once.
const PAGE: usize = 5_000;
/// How often the watermark is looked at, and after what pause, until it has come to the end.
const LOOKS: (u32, Duration) = (100, Duration::from_millis(100));

/// What the engine has on record at the end.
#[derive(Debug)]
pub(super) struct Books {
    /// Whether it accounts for each message that was committed, for each group, and for no other.
    pub(super) complete: bool,
    /// Every message up to this one is settled for all groups.
    pub(super) watermark: MessageId,
    pub(super) settled: HashMap<GroupName, HashSet<MessageId>>,
    pub(super) dead: HashMap<GroupName, HashSet<MessageId>>,
    pub(super) pending: HashMap<GroupName, u64>,
}

impl Books {
    pub(super) async fn read<B: Backend + ?Sized>(
        backend: &B,
        topic: &TopicName,
        mode: CompletionMode,
        groups: &[Group],
        published: &Published,
    ) -> Result<Self> {
        let mut books = Self {
            complete: false,
            watermark: MessageId(0),
            settled: HashMap::new(),
            dead: HashMap::new(),
            pending: HashMap::new(),
        };
        let required = books.read_tracked(backend, topic).await?;
        books.complete = match mode {
            // Whoever was subscribed from the start must settle each message.
            CompletionMode::ReferenceCounting => {
                let by_all = |id| required.get(id) == Some(&groups.len());
                required.len() == published.committed.len()
                    && published.committed.keys().all(by_all)
            }
            // Cursors keep nothing of a message that is settled: what they owe is the record.
            CompletionMode::OffsetWatermark => {
                books.read_owed(backend, topic, groups, published).await?;
                required.is_empty()
            }
        };
        let last = published.committed.keys().max().copied();
        books.watermark = watermark(backend, topic, last).await?.id;
        for group in groups {
            let letters = backend
                .dead_letters(topic, Some(&group.name), published.committed.len() + 1)
                .await?;
            let ids = letters.into_iter().map(|letter| letter.message.id);
            books.dead.insert(group.name.clone(), ids.collect());
        }
        for stats in backend.stats(topic).await? {
            books.pending.insert(stats.group, stats.pending);
        }
        Ok(books)
    }

    /// Reads who has settled the messages that are tracked, and returns how many groups must.
    async fn read_tracked<B: Backend + ?Sized>(
        &mut self,
        backend: &B,
        topic: &TopicName,
    ) -> Result<HashMap<MessageId, usize>> {
        let mut required = HashMap::new();
        let mut after = MessageId(0);
        loop {
            let page = backend.accounting(topic, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(required);
            };
            after = last.id;
            for message in page {
                required.insert(message.id, message.required.len());
                for group in message.completed {
                    self.settled.entry(group).or_default().insert(message.id);
                }
            }
        }
    }

    /// Takes as settled what a group does not owe.
    async fn read_owed<B: Backend + ?Sized>(
        &mut self,
        backend: &B,
        topic: &TopicName,
        groups: &[Group],
        published: &Published,
    ) -> Result<()> {
        for group in groups {
            let mut settled: HashSet<_> = published.committed.keys().copied().collect();
            let mut after = MessageId(0);
            loop {
                let page = backend.pending(topic, &group.name, after, PAGE).await?;
                let Some(last) = page.last() else {
                    break;
                };
                after = *last;
                for id in page {
                    settled.remove(&id);
                }
            }
            self.settled.insert(group.name.clone(), settled);
        }
        Ok(())
    }
}

/// The watermark once it has come to the last message, or where it stays. It is recorded by
/// maintenance, which somebody else may be at.
async fn watermark<B: Backend + ?Sized>(
    backend: &B,
    topic: &TopicName,
    last: Option<MessageId>,
) -> Result<Watermark> {
    let (looks, pause) = LOOKS;
    for _ in 1..looks {
        let watermark = backend.watermark(topic).await?;
        if last.is_none_or(|last| watermark.id >= last) {
            return Ok(watermark);
        }
        backend.maintain().await?;
        sleep(pause).await;
    }
    backend.watermark(topic).await
}
