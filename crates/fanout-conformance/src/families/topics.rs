//! Topics: creating, reading, changing and deleting them.

use std::time::Duration;

use fanout_core::{
    BackendExt, CompletionMode, DeleteTopic, ErrorKind, MAX_LANES, MessageId, Semantics,
    StartPosition, TopicConfig, TopicUpdate,
};

use crate::stage::{Scene, group_name, ids, messages, refused, same_ids, together, topic_name};

/// A configuration in which nothing has its default.
fn unusual() -> TopicConfig {
    TopicConfig {
        semantics: Semantics::PubSub,
        completion_mode: CompletionMode::OffsetWatermark,
        lanes: 3,
        message_retention: Duration::from_micros(7_200_000_001),
        zero_subscription_retention: Duration::from_millis(1_234_567),
        block_writes_on_zero_subscriptions: true,
        max_retention: Duration::from_secs(400 * 86_400),
        partition_interval: Duration::from_secs(90),
        audit: true,
    }
}

pub(crate) async fn what_is_created_can_be_read(s: &Scene) {
    let name = topic_name("orders");
    let created = s
        .backend
        .create_topic(&name, TopicConfig::default())
        .await
        .expect("a topic can be created");
    assert_eq!(created.name, name, "a topic has the name it was given");
    assert_eq!(
        created.created_at,
        s.now(),
        "creation is dated by the engine's clock"
    );
    assert_eq!(
        created.dropped_id,
        MessageId(0),
        "nothing was dropped from a new topic"
    );
    let read = s.backend.topic(&name).await;
    assert_eq!(
        read.expect("a created topic can be read"),
        created,
        "a topic reads as creating it returned"
    );
    let listed = s.backend.topics().await.expect("topics can be listed");
    assert_eq!(listed, [created], "a created topic is listed");
}

pub(crate) async fn every_field_of_a_configuration_round_trips(s: &Scene) {
    let century = Duration::from_secs(100 * 365 * 86_400);
    let configs = [
        TopicConfig::default(),
        unusual(),
        TopicConfig {
            lanes: MAX_LANES,
            audit: true,
            ..TopicConfig::queue()
        },
        TopicConfig {
            lanes: 1,
            message_retention: Duration::ZERO,
            zero_subscription_retention: Duration::ZERO,
            max_retention: century,
            partition_interval: Duration::from_secs(1),
            ..TopicConfig::default()
        },
        TopicConfig {
            message_retention: century,
            zero_subscription_retention: century,
            max_retention: century,
            ..TopicConfig::default()
        },
    ];
    for (i, config) in configs.into_iter().enumerate() {
        let name = topic_name(&format!("topic {i}"));
        let created = s.backend.create_topic(&name, config.clone()).await;
        let created = created.expect("a configuration that passes the check is accepted");
        assert_eq!(created.config, config, "creating returns the configuration");
        let read = s.backend.topic(&name).await.expect("the topic is there");
        assert_eq!(
            read.config, config,
            "every field of the configuration is kept"
        );
    }
}

pub(crate) async fn invalid_configurations_are_refused(s: &Scene) {
    let good = TopicConfig::default();
    let bad = [
        TopicConfig {
            lanes: 0,
            ..good.clone()
        },
        TopicConfig {
            lanes: MAX_LANES + 1,
            ..good.clone()
        },
        TopicConfig {
            partition_interval: Duration::from_millis(999),
            ..good.clone()
        },
        TopicConfig {
            max_retention: Duration::from_secs(3600),
            ..good.clone()
        },
        TopicConfig {
            max_retention: Duration::MAX,
            ..good.clone()
        },
        TopicConfig {
            block_writes_on_zero_subscriptions: true,
            ..TopicConfig::queue()
        },
    ];
    let name = topic_name("orders");
    for config in bad {
        let promise = format!("a configuration that makes no sense is refused: {config:?}");
        let created = s.backend.create_topic(&name, config).await;
        refused(created, &[ErrorKind::InvalidInput], &promise);
    }
    let exists = s.backend.topic_exists(&name).await;
    assert!(
        !exists.expect("existence can be asked"),
        "a refused creation leaves no topic"
    );
}

pub(crate) async fn an_update_changes_what_it_names(s: &Scene) {
    let topic = s.topic("orders").await;
    let before = s.backend.topic(topic.name()).await.expect("it was created");
    let unchanged = s
        .backend
        .update_topic(topic.name(), TopicUpdate::default())
        .await;
    assert_eq!(
        unchanged.expect("an update may be empty"),
        before,
        "an empty update changes nothing"
    );

    let to = unusual();
    let updates = [
        TopicUpdate {
            message_retention: Some(to.message_retention),
            ..TopicUpdate::default()
        },
        TopicUpdate {
            zero_subscription_retention: Some(to.zero_subscription_retention),
            ..TopicUpdate::default()
        },
        TopicUpdate {
            block_writes_on_zero_subscriptions: Some(to.block_writes_on_zero_subscriptions),
            ..TopicUpdate::default()
        },
        TopicUpdate {
            max_retention: Some(to.max_retention),
            ..TopicUpdate::default()
        },
        TopicUpdate {
            partition_interval: Some(to.partition_interval),
            ..TopicUpdate::default()
        },
        TopicUpdate {
            audit: Some(to.audit),
            ..TopicUpdate::default()
        },
    ];
    let mut expected = before.clone();
    for update in updates {
        expected.config = update
            .apply(&expected.config)
            .expect("each update is a good one");
        let updated = s.backend.update_topic(topic.name(), update).await;
        assert_eq!(
            updated.expect("a good update is accepted"),
            expected,
            "an update changes what it names and nothing else"
        );
        let read = s.backend.topic(topic.name()).await;
        assert_eq!(
            read.expect("the topic is there"),
            expected,
            "an update is kept"
        );
    }
    assert_eq!(
        expected.config,
        TopicConfig {
            lanes: before.config.lanes,
            completion_mode: before.config.completion_mode,
            ..to
        },
        "the case has changed every field that may change"
    );
}

pub(crate) async fn an_invalid_update_changes_nothing(s: &Scene) {
    let topic = s.topic("orders").await;
    let before = s.backend.topic(topic.name()).await.expect("it was created");
    let updates = [
        TopicUpdate {
            max_retention: Some(Duration::from_secs(1)),
            audit: Some(true),
            ..TopicUpdate::default()
        },
        TopicUpdate {
            partition_interval: Some(Duration::ZERO),
            ..TopicUpdate::default()
        },
        TopicUpdate {
            message_retention: Some(Duration::from_secs(31 * 86_400)),
            ..TopicUpdate::default()
        },
    ];
    for update in updates {
        let updated = s.backend.update_topic(topic.name(), update).await;
        refused(
            updated,
            &[ErrorKind::InvalidInput],
            "an update is checked together with the values that stay",
        );
    }
    let read = s.backend.topic(topic.name()).await;
    assert_eq!(
        read.expect("the topic is there"),
        before,
        "a refused update changes nothing"
    );
}

pub(crate) async fn a_name_is_taken_once(s: &Scene) {
    let topic = s.topic("orders").await;
    let before = s.backend.topic(topic.name()).await.expect("it was created");
    let again = s.backend.create_topic(topic.name(), unusual()).await;
    refused(
        again,
        &[ErrorKind::TopicExists],
        "a name can be given to one topic only",
    );
    let read = s.backend.topic(topic.name()).await;
    assert_eq!(
        read.expect("the topic is there"),
        before,
        "a refused creation leaves the existing topic as it is"
    );
    let ensured = s.backend.ensure_topic(topic.name(), unusual()).await;
    assert_eq!(
        ensured.expect("an existing topic is good enough"),
        before,
        "ensuring reads the existing topic"
    );
}

pub(crate) async fn every_call_on_an_unknown_topic_says_so(s: &Scene) {
    s.topic("another").await.group("billing").await;
    let (name, group) = (topic_name("orders"), group_name("billing"));
    let promise = "a topic that does not exist is reported as such";
    let kinds = &[ErrorKind::TopicNotFound];
    let b = &s.backend;
    refused(b.topic(&name).await, kinds, promise);
    refused(
        b.update_topic(&name, TopicUpdate::default()).await,
        kinds,
        promise,
    );
    for mode in [DeleteTopic::IfSettled, DeleteTopic::Forced] {
        refused(b.delete_topic(&name, mode).await, kinds, promise);
    }
    refused(b.subscribe_from_now(&name, &group).await, kinds, promise);
    refused(b.pause(&name, &group).await, kinds, promise);
    refused(b.resume(&name, &group).await, kinds, promise);
    refused(b.cancel(&name, &group).await, kinds, promise);
    refused(b.heartbeat(&name, &group).await, kinds, promise);
    let sought = b.seek(&name, &group, StartPosition::FromBeginning).await;
    refused(sought, kinds, promise);
    refused(b.watermark(&name).await, kinds, promise);
    refused(b.subscription(&name, &group).await, kinds, promise);
    refused(b.subscriptions(&name).await, kinds, promise);
    refused(b.publish(&name, messages(1)).await, kinds, promise);
    refused(b.join_group(&name, &group).await, kinds, promise);
    refused(b.join_queue(&name).await, kinds, promise);
    refused(b.stats(&name).await, kinds, promise);
    refused(
        b.pending(&name, &group, MessageId(0), 10).await,
        kinds,
        promise,
    );
    refused(b.accounting(&name, MessageId(0), 10).await, kinds, promise);
    let exists = b.topic_exists(&name).await;
    assert!(!exists.expect("existence can be asked"), "{promise}");
    let dead = b.dead_letters(&name, None, 10).await;
    assert_eq!(
        dead.expect("dead letters are kept by name, whether the topic exists or not"),
        [],
        "a name that never was has none"
    );
}

pub(crate) async fn any_valid_name_works(s: &Scene) {
    let names = [
        "orders".to_owned(),
        "Orders".to_owned(),
        "orders ".to_owned(),
        "größe / 注文 / 🦀".to_owned(),
        "'; drop schema fanout cascade; --".to_owned(),
        "\"quoted\" \\ $1 %s {}".to_owned(),
        "x".repeat(255),
    ];
    for name in &names {
        let topic = s.topic(name).await;
        let group = topic.group(name).await;
        let sent = topic.publish(2).await;
        let drained = group.drain().await;
        same_ids(
            ids(&drained),
            sent,
            "topics and groups work alike whatever their valid names",
        );
        assert_eq!(
            drained[0].message.topic.as_str(),
            name,
            "names are kept exactly"
        );
    }
    let topics = s.backend.topics().await.expect("topics can be listed");
    assert_eq!(
        topics.len(),
        names.len(),
        "names that differ at all are names of different topics"
    );
}

pub(crate) async fn topics_are_listed_in_byte_order(s: &Scene) {
    let mut names = [
        "b", "a", "B", "ä", "a b", "a-b", "aB", "Z", "ab", "_", "10", "9",
    ];
    for name in names {
        s.topic(name).await;
    }
    names.sort_unstable();
    let topics = s.backend.topics().await.expect("topics can be listed");
    let listed: Vec<_> = topics.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(
        listed, names,
        "topics are listed by the bytes of their names"
    );
}

pub(crate) async fn of_concurrent_creations_one_wins(s: &Scene) {
    let name = topic_name("orders");
    let results = together(8, |i| {
        let (backend, name) = (s.backend.clone(), name.clone());
        let config = TopicConfig {
            lanes: u16::try_from(i + 1).expect("few tasks"),
            ..TopicConfig::default()
        };
        async move { backend.create_topic(&name, config).await }
    })
    .await;
    let mut winners = Vec::new();
    for result in results {
        match result {
            Ok(topic) => winners.push(topic),
            Err(error) => assert_eq!(
                error.kind(),
                ErrorKind::TopicExists,
                "who comes late learns that the topic exists: {error}"
            ),
        }
    }
    assert_eq!(winners.len(), 1, "of concurrent creations exactly one wins");
    let read = s.backend.topic(&name).await;
    assert_eq!(
        read.expect("the topic is there"),
        winners[0],
        "the winner's configuration stands"
    );
    let topic = s.at("orders");
    let group = topic.group("billing").await;
    let sent = topic.publish(1).await;
    same_ids(
        ids(&group.drain().await),
        sent,
        "a topic is usable once creating it returned",
    );
}
