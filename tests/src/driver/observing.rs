//! Reads everything that can be read.

use std::collections::BTreeMap;

use fanout_core::{CompletionMode, MessageId, Result, Transactional};

use super::Driver;
use crate::acceptor::{Checked, Violation};
use crate::reader::{Channel, Reader};

/// More than any history has.
const ALL: usize = 10_000;

impl<B: Transactional> Driver<'_, B> {
    pub(super) async fn observe(&mut self, channels: &[Channel]) -> Checked {
        for channel in channels.iter().copied() {
            let topic = self.topic(channel);
            let subscriptions = self.backend.subscriptions(&topic).await;
            self.acceptor
                .check_subscriptions(channel, &read("subscriptions", subscriptions)?)?;
            let mut pending = BTreeMap::new();
            for reader in Reader::of(channel) {
                if let Some(listed) = self.observe_pending(reader).await? {
                    pending.insert(reader, listed);
                }
            }
            let stats = read("stats", self.backend.stats(&topic).await)?;
            self.acceptor
                .check_stats(channel, &stats, &pending, self.now())?;
            for mode in CompletionMode::ALL {
                let remaining = self.backend.remaining(&topic, *mode).await;
                self.acceptor
                    .check_remaining(channel, *mode, &read("remaining", remaining)?)?;
            }
            self.check_dead_letters(channel).await?;
            if self.terms.exact_accounting {
                self.account(channel).await?;
            }
        }
        self.check_watermarks(channels, self.terms.exact_watermark)
            .await
    }

    pub(super) async fn check_watermarks(&mut self, channels: &[Channel], exact: bool) -> Checked {
        for channel in channels.iter().copied() {
            let read = read(
                "watermark",
                self.backend.watermark(&self.topic(channel)).await,
            )?;
            let now = self.now();
            self.acceptor.check_watermark(channel, &read, exact, now)?;
        }
        Ok(())
    }

    async fn observe_pending(&mut self, reader: Reader) -> Checked<Option<Vec<MessageId>>> {
        let Some(seat) = self.acceptor.latest(reader) else {
            return Ok(None);
        };
        let pending = self
            .backend
            .pending(
                &self.topic(reader.channel()),
                &reader.group(),
                MessageId(0),
                ALL,
            )
            .await;
        let pending = read("pending", pending)?;
        self.acceptor.check_pending(seat, &pending)?;
        Ok(Some(pending))
    }

    pub(super) async fn check_dead_letters(&mut self, channel: Channel) -> Checked {
        let letters = self
            .backend
            .dead_letters(&self.topic(channel), None, ALL)
            .await;
        self.acceptor
            .check_dead_letters(channel, &read("dead letters", letters)?)
    }

    /// Compares who must settle what; where that may lag, after maintenance only.
    pub(super) async fn account(&mut self, channel: Channel) -> Checked {
        let topic = self.topic(channel);
        let accounting = self.backend.accounting(&topic, MessageId(0), ALL).await;
        self.acceptor
            .check_accounting(channel, &read("accounting", accounting)?, self.now())
    }
}

fn read<T>(what: &str, answer: Result<T>) -> Checked<T> {
    answer.map_err(|error| Violation::refused(what, &error))
}
