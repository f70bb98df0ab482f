//! Watching a topic on its way to another mode.

use std::time::Duration;

use fanout::ErrorKind::{Closed, TopicNotFound, Unavailable};
use fanout::{
    Backend, BackendExt, CompletionMode, DeleteTopic, MemberExt, MemoryBackend, Migration,
    TopicConfig,
};
use tokio::time::timeout;

use crate::faulty::{Call, Faults, Faulty};
use crate::support::World;

const OFFSET: CompletionMode = CompletionMode::OffsetWatermark;
const COUNTING: CompletionMode = CompletionMode::ReferenceCounting;

async fn with_backlog(messages: usize) -> World {
    let world = World::new().await;
    world.publish(messages).await;
    world
}

/// Settles up to so many messages.
async fn settle(world: &World, messages: usize) {
    let member = world
        .backend
        .join_group(&world.topic, &world.group)
        .await
        .unwrap();
    let deliveries = member.fetch(messages).await.unwrap().deliveries;
    member.done_all(&deliveries).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tells_whether_it_changed_anything_and_what_is_left() {
    let world = with_backlog(3).await;
    let (backend, topic) = (&world.backend, &world.topic);
    let same = Migration::start(backend, topic, COUNTING).await.unwrap();
    assert!(!same.has_changed());
    assert!(same.progress().await.unwrap().is_done());

    let migration = Migration::start(backend, topic, OFFSET).await.unwrap();
    assert!(migration.has_changed());
    let progress = migration.progress().await.unwrap();
    assert_eq!((progress.mode, progress.messages()), (OFFSET, 3));
    assert!(!progress.is_done());
    // Found again by whoever asks later.
    let found = Migration::start(backend, topic, OFFSET).await.unwrap();
    assert!(!found.has_changed());
    assert_eq!(found.progress().await.unwrap(), progress);

    let back = migration.reverse().await.unwrap();
    assert!(back.has_changed());
    assert_eq!(back.to(), COUNTING);
    assert!(back.progress().await.unwrap().is_done());
    assert_eq!(found.progress().await.unwrap().mode, COUNTING);
}

#[tokio::test(start_paused = true)]
async fn waits_until_nothing_is_left() {
    let world = with_backlog(3).await;
    let (backend, topic) = (&world.backend, &world.topic);
    let migration = Migration::start(backend, topic, OFFSET).await.unwrap();
    let waiting = timeout(Duration::from_secs(60), migration.wait());
    assert!(waiting.await.is_err(), "dropping it changes nothing");
    backend.pause(topic, &world.group).await.unwrap();
    let waiting = timeout(Duration::from_secs(60), migration.wait());
    assert!(waiting.await.is_err(), "a paused group keeps what it has");
    backend.resume(topic, &world.group).await.unwrap();

    let mut seen = Vec::new();
    let settling = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            settle(&world, 1).await;
        }
    };
    let waiting = migration.wait_with(|progress| seen.push(progress.messages()));
    let (last, ()) = tokio::join!(waiting, settling);
    assert!(last.unwrap().is_done());
    seen.dedup();
    assert_eq!(seen, [3, 2, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_hears_that_the_topic_was_moved_back() {
    let world = with_backlog(1).await;
    let (backend, topic) = (&world.backend, &world.topic);
    let migration = Migration::start(backend, topic, OFFSET).await.unwrap();
    let moving = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        backend.migrate_topic(topic, COUNTING).await.unwrap();
    };
    let (last, ()) = tokio::join!(migration.wait(), moving);
    let last = last.unwrap();
    assert_eq!((last.mode, last.is_done()), (COUNTING, false));
}

#[tokio::test(start_paused = true)]
async fn goes_on_after_failures_that_pass_and_ends_with_others() {
    let world = with_backlog(1).await;
    let faults = Faults::default();
    let faulty = Faulty {
        inner: MemoryBackend::clone(&world.backend),
        faults: faults.clone(),
    };
    let migration = Migration::start(&faulty, &world.topic, OFFSET)
        .await
        .unwrap();
    faults.plan(Call::Remaining, &[Unavailable, Unavailable, Closed]);
    assert_eq!(migration.wait().await.unwrap_err().kind(), Closed);
    let deleted = world
        .backend
        .delete_topic(&world.topic, DeleteTopic::Forced);
    deleted.await.unwrap();
    assert_eq!(migration.wait().await.unwrap_err().kind(), TopicNotFound);
}

/// Nothing is left of a topic that is gone, which must not be taken for the end of the migration.
#[tokio::test(start_paused = true)]
async fn a_topic_that_is_deleted_while_it_is_asked_for_is_not_done() {
    let world = World::new().await;
    let faults = Faults::default();
    faults.delay(Call::Remaining, Duration::from_secs(1));
    let backend = Faulty {
        inner: world.backend.clone(),
        faults,
    };
    let migration = Migration::start(&backend, &world.topic, OFFSET)
        .await
        .unwrap();
    let deleting = async {
        tokio::task::yield_now().await;
        let forced = DeleteTopic::Forced;
        backend.delete_topic(&world.topic, forced).await.unwrap();
    };
    let (waited, ()) = tokio::join!(migration.wait(), deleting);
    assert_eq!(waited.unwrap_err().kind(), TopicNotFound);
}

/// Another topic under the name says nothing of the one that was moved.
#[tokio::test(start_paused = true)]
async fn a_topic_that_was_made_anew_is_not_done() {
    let world = with_backlog(1).await;
    let migration = Migration::start(&world.backend, &world.topic, OFFSET)
        .await
        .unwrap();
    let (backend, forced) = (&world.backend, DeleteTopic::Forced);
    backend.delete_topic(&world.topic, forced).await.unwrap();
    let config = TopicConfig {
        completion_mode: OFFSET,
        ..TopicConfig::default()
    };
    backend.create_topic(&world.topic, config).await.unwrap();
    assert_eq!(migration.wait().await.unwrap_err().kind(), TopicNotFound);
}
