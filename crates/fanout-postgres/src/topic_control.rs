//! Creating, changing and deleting topics.

use diesel_async::AsyncPgConnection;
use fanout_core::{
    Backend, CompletionMode, DeleteTopic, Error, ErrorKind, GroupName, Result, Semantics, Topic,
    TopicConfig, TopicName, TopicUpdate,
};

use crate::PostgresBackend;
use crate::offset_watermark;
use crate::reference_counting::BATCH;
use crate::storage::{beginnings, topics, tracking, watermarks};
use crate::subscription_control::{require, scope};

impl PostgresBackend {
    pub(crate) async fn make_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<Topic> {
        config.check()?;
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let created = match topics::insert(connection, topic, &config, self.now()).await {
            Err(error) if error.kind() == ErrorKind::TopicExists => {
                return Err(Error::new(
                    ErrorKind::TopicExists,
                    format!("topic exists already topic=`{topic}`"),
                )
                .with_source(error));
            }
            created => created?,
        };
        topics::create_storage(connection, created.id).await?;
        if config.semantics == Semantics::Queue {
            topics::create_queue_subscription(connection, created.id, self.now()).await?;
            let built_in = require(connection, &created, &GroupName::queue()).await?;
            offset_watermark::open(transaction.checkout(), &scope(&created, &built_in)).await?;
        }
        transaction.commit().await?;
        Ok(created)
    }

    pub(crate) async fn change_topic(
        &self,
        topic: &TopicName,
        update: &TopicUpdate,
    ) -> Result<Topic> {
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let mut updated = topics::get_for_update(connection, topic).await?;
        updated.config = update.apply(&updated.config)?;
        topics::update(connection, updated.id, &updated.config).await?;
        transaction.commit().await?;
        Ok(updated)
    }

    /// One UPDATE, in a transaction that bounds how long it waits for who has the topic's row.
    pub(crate) async fn change_mode(
        &self,
        topic: &TopicName,
        mode: CompletionMode,
    ) -> Result<Topic> {
        let present = self.topic(topic).await?;
        if present.config.completion_mode == mode {
            return Ok(present);
        }
        let mut transaction = self.transaction().await?;
        let changed = topics::set_mode(transaction.connection(), topic, mode).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    pub(crate) async fn remove_topic(&self, topic: &TopicName, mode: DeleteTopic) -> Result<()> {
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let topic = topics::get_for_update(connection, topic).await?;
        if mode == DeleteTopic::IfSettled {
            // Before anybody is made to wait.
            refuse_owed(connection, &topic).await?;
        }
        // Against publishers: what they have committed by then is counted.
        topics::lock_storage(connection, topic.id)
            .await
            .map_err(|error| {
                if error.kind() != ErrorKind::Conflict {
                    return error;
                }
                let message = format!(
                    "topic is in use by open transactions topic=`{}`",
                    topic.name
                );
                Error::new(ErrorKind::Conflict, message).with_source(error)
            })?;
        if mode == DeleteTopic::IfSettled {
            // What a subscription lags behind with is owed too.
            for lagging in beginnings::catching_up(connection, topic.id).await? {
                beginnings::catch_up_now(connection, lagging, BATCH).await?;
            }
            refuse_owed(connection, &topic).await?;
        }
        topics::delete(connection, topic.id).await?;
        transaction.commit().await?;
        // Left to maintenance when somebody would have to wait, or when this fails.
        if let Err(error) = topics::drop_storage(&mut *self.connection().await?, topic.id).await {
            tracing::warn!(topic = %topic.name, %error, "tables of a deleted topic were not dropped yet");
        }
        Ok(())
    }
}

async fn refuse_owed(connection: &mut AsyncPgConnection, topic: &Topic) -> Result<()> {
    let owed = tracking::count_owed_by_any(connection, topic.id).await?
        + watermarks::count_owed_by_cursor(connection, topic.id, None).await?;
    if owed == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::WouldLoseMessages,
        format!(
            "groups still owe settlements topic=`{}` unsettled=`{owed}`",
            topic.name
        ),
    ))
}
