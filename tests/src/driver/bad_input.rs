//! Calls that must be refused, and change nothing.

use std::time::Duration;

use fanout_core::{
    CompletionMode, DeleteTopic, ErrorKind, GroupName, JoinOptions, MAX_KEY_BYTES, MessageId,
    NewMessage, OnFailure, Ordering, StartPosition, Subscribe, SubscriptionOptions, TopicConfig,
    TopicName, TopicUpdate, Transactional,
};

use super::Driver;
use crate::acceptor::{Checked, expect_error};
use crate::coverage::Event;
use crate::op::Bad;
use crate::reader::{Channel, LeaseLength, Reader};

use ErrorKind::{InvalidInput, SubscriptionNotFound, TooLarge, TopicExists, TopicNotFound};

impl<B: Transactional> Driver<'_, B> {
    pub(super) async fn refuse(&mut self, bad: Bad) -> Checked {
        self.acceptor.saw(Event::BadInput);
        match bad {
            Bad::PublishNothing
            | Bad::PublishOversized
            | Bad::PublishNulKey
            | Bad::PublishToNoTopic => self.refuse_publish(bad).await,
            Bad::PublishInNothing => self.refuse_publish_in().await,
            Bad::CreateAgain | Bad::CreateInvalid | Bad::UpdateInvalid => {
                self.refuse_topic(bad).await
            }
            Bad::SubscribeToNoTopic
            | Bad::SubscribeInOtherOrder
            | Bad::SubscribeBlockingWithoutOrder
            | Bad::SubscribeInvalid => self.refuse_subscribe(bad).await,
            Bad::SeekNobody
            | Bad::PauseNobody
            | Bad::CancelNobody
            | Bad::BeatNobody
            | Bad::ReadNobody => self.refuse_group(bad).await,
            Bad::JoinNoTopic | Bad::JoinNobody | Bad::JoinNoGroup | Bad::JoinGroupOfQueue => {
                self.refuse_join(bad).await
            }
            Bad::FetchNothing | Bad::ExtendByNothing => self.refuse_member(bad).await,
            Bad::ReadNoTopic | Bad::DeleteNoTopic => self.refuse_unknown_topic().await,
        }
    }

    async fn refuse_publish(&self, bad: Bad) -> Checked {
        let known = self.topic(Channel::PubSub);
        let message = NewMessage::new("never published");
        let (topic, batch, kind) = match bad {
            Bad::PublishNothing => (known, vec![], InvalidInput),
            Bad::PublishOversized => {
                let key = "k".repeat(MAX_KEY_BYTES + 1);
                (known, vec![message.clone(), message.key(key)], TooLarge)
            }
            Bad::PublishNulKey => (known, vec![message.key("\0")], InvalidInput),
            _ => (nowhere(), vec![message], TopicNotFound),
        };
        expect_error(
            "publish",
            &self.backend.publish(&topic, batch).await,
            &[kind],
        )
    }

    /// Refused before the transaction is touched, so that it goes on.
    async fn refuse_publish_in(&mut self) -> Checked {
        let topic = self.topic(Channel::PubSub);
        let Some(tx) = self.find_open(0) else {
            return Ok(());
        };
        if self.acceptor.transaction(tx).doom.is_some() {
            return Ok(());
        }
        let Some(open) = self.open.get_mut(&tx) else {
            return Ok(());
        };
        let answer = self.backend.publish_in(open.tx(), &topic, vec![]).await;
        expect_error("publish_in", &answer, &[InvalidInput])
    }

    async fn refuse_topic(&self, bad: Bad) -> Checked {
        let known = self.topic(Channel::Queue);
        let create = |topic: TopicName, config: TopicConfig| async move {
            self.backend.create_topic(&topic, config).await
        };
        let (answer, kind) = match bad {
            Bad::CreateAgain => (create(known, TopicConfig::default()).await, TopicExists),
            Bad::CreateInvalid => {
                let config = TopicConfig {
                    lanes: 0,
                    ..TopicConfig::default()
                };
                (create(nowhere(), config).await, InvalidInput)
            }
            _ => {
                let update = TopicUpdate {
                    block_writes_on_zero_subscriptions: Some(true),
                    ..TopicUpdate::default()
                };
                (
                    self.backend.update_topic(&known, update).await,
                    InvalidInput,
                )
            }
        };
        expect_error("create or update", &answer, &[kind])
    }

    async fn refuse_subscribe(&self, bad: Bad) -> Checked {
        let known = self.topic(Channel::PubSub);
        let default = SubscriptionOptions::default();
        let reader = Reader::Group(0);
        let (topic, subscribe, kind) = match bad {
            Bad::SubscribeToNoTopic => (nowhere(), Subscribe::default(), TopicNotFound),
            Bad::SubscribeInOtherOrder => {
                let options = reader.options(LeaseLength::Long, self.orders);
                let live = self.acceptor.latest(reader);
                if !live.is_some_and(|seat| self.acceptor.is_live(seat)) {
                    return Ok(());
                }
                let options = SubscriptionOptions {
                    ordering: match options.ordering {
                        Ordering::Unordered => Ordering::PerKey,
                        Ordering::PerKey => Ordering::Unordered,
                    },
                    on_failure: OnFailure::Park,
                    ..options
                };
                (known, options.into(), InvalidInput)
            }
            Bad::SubscribeBlockingWithoutOrder => {
                let options = SubscriptionOptions {
                    on_failure: OnFailure::Block,
                    ..default
                };
                (known, options.into(), InvalidInput)
            }
            _ => {
                let options = SubscriptionOptions {
                    max_attempts: 0,
                    ..default
                };
                (known, options.into(), InvalidInput)
            }
        };
        let group = reader.group();
        let answer = self.backend.subscribe(&topic, &group, subscribe).await;
        expect_error("subscribe", &answer, &[kind])
    }

    async fn refuse_group(&self, bad: Bad) -> Checked {
        let (topic, nobody) = (self.topic(Channel::PubSub), nobody());
        let not_found = &[SubscriptionNotFound];
        match bad {
            Bad::PauseNobody => {
                expect_error(
                    "pause",
                    &self.backend.pause(&topic, &nobody).await,
                    not_found,
                )?;
                expect_error(
                    "resume",
                    &self.backend.resume(&topic, &nobody).await,
                    not_found,
                )
            }
            Bad::SeekNobody => {
                let to = StartPosition::FromBeginning;
                let answer = self.backend.seek(&topic, &nobody, to).await;
                expect_error("seek", &answer, not_found)
            }
            Bad::CancelNobody => expect_error(
                "cancel",
                &self.backend.cancel(&topic, &nobody).await,
                not_found,
            ),
            Bad::BeatNobody => {
                let answer = self.backend.heartbeat(&topic, &nobody).await;
                expect_error("heartbeat", &answer, not_found)
            }
            _ => {
                let answer = self.backend.subscription(&topic, &nobody).await;
                expect_error("subscription", &answer, not_found)?;
                let answer = self.backend.pending(&topic, &nobody, MessageId(0), 1).await;
                expect_error("pending", &answer, not_found)
            }
        }
    }

    async fn refuse_join(&self, bad: Bad) -> Checked {
        let (log, queue) = (self.topic(Channel::PubSub), self.topic(Channel::Queue));
        let (nobody, somebody) = (nobody(), Reader::Group(0).group());
        let (topic, group, kind) = match bad {
            Bad::JoinNoTopic => (nowhere(), Some(&somebody), TopicNotFound),
            Bad::JoinNobody => (log, Some(&nobody), SubscriptionNotFound),
            Bad::JoinNoGroup => (log, None, InvalidInput),
            _ => (queue, Some(&somebody), InvalidInput),
        };
        let answer = self
            .backend
            .join(&topic, group, JoinOptions::default())
            .await;
        expect_error("join", &answer, &[kind])
    }

    async fn refuse_member(&self, bad: Bad) -> Checked {
        let Some(member) = self.find_member(0, |_| true) else {
            return Ok(());
        };
        match bad {
            Bad::FetchNothing => {
                expect_error("fetch", &member.member.fetch(0).await, &[InvalidInput])
            }
            _ => {
                let answer = member.member.extend(&[], Duration::ZERO).await;
                expect_error("extend", &answer, &[InvalidInput])
            }
        }
    }

    async fn refuse_unknown_topic(&self) -> Checked {
        let (nowhere, group) = (nowhere(), Reader::Group(0).group());
        let (backend, not_found) = (self.backend, &[TopicNotFound]);
        expect_error("topic", &backend.topic(&nowhere).await, not_found)?;
        expect_error("stats", &backend.stats(&nowhere).await, not_found)?;
        let answer = backend.subscriptions(&nowhere).await;
        expect_error("subscriptions", &answer, not_found)?;
        let answer = backend.subscription(&nowhere, &group).await;
        expect_error("subscription", &answer, not_found)?;
        let answer = backend.pending(&nowhere, &group, MessageId(0), 1).await;
        expect_error("pending", &answer, not_found)?;
        let answer = backend.accounting(&nowhere, MessageId(0), 1).await;
        expect_error("accounting", &answer, not_found)?;
        let answer = backend.watermark(&nowhere).await;
        expect_error("watermark", &answer, not_found)?;
        let to = StartPosition::FromNow;
        let answer = backend.seek(&nowhere, &group, to).await;
        expect_error("seek", &answer, not_found)?;
        let answer = backend.pause(&nowhere, &group).await;
        expect_error("pause", &answer, not_found)?;
        let answer = backend.cancel(&nowhere, &group).await;
        expect_error("cancel", &answer, not_found)?;
        let answer = backend.heartbeat(&nowhere, &group).await;
        expect_error("heartbeat", &answer, not_found)?;
        let mode = CompletionMode::OffsetWatermark;
        let answer = backend.migrate_topic(&nowhere, mode).await;
        expect_error("migrate", &answer, not_found)?;
        let answer = backend.update_topic(&nowhere, TopicUpdate::default()).await;
        expect_error("update", &answer, not_found)?;
        let answer = backend.delete_topic(&nowhere, DeleteTopic::Forced).await;
        expect_error("delete", &answer, not_found)
    }
}

/// A topic that nobody creates.
fn nowhere() -> TopicName {
    TopicName::new("nowhere").expect("a valid name")
}

/// A group that nobody subscribes.
fn nobody() -> GroupName {
    GroupName::new("nobody").expect("a valid name")
}
