//! Where subscriptions start.

use std::time::Duration;

use fanout_core::{
    Backend, Clock, MemberExt, MessageId, NewMessage, StartPosition, SubscriptionOptions,
    TopicConfig, Transactional,
};
use fanout_memory::MemoryBackend;

use crate::stage::{Stage, batch, group, ids, offset, per_key, take};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_start_in_the_past_owes_what_is_kept_from_there_on() {
    use StartPosition::{FromBeginning, FromMessage, FromNow, FromTimestamp};
    for config in [offset(), TopicConfig::default()] {
        let stage = Stage::of(config).await;
        let written = stage.clock.now();
        for _ in 0..4 {
            stage.publish(1, 1).await.unwrap();
            stage.clock.advance(SECOND);
        }
        for (number, (start, expected)) in [
            (FromNow, &[5][..]),
            (FromBeginning, &[1, 2, 3, 4, 5]),
            (FromMessage(MessageId(3)), &[3, 4, 5]),
            (FromMessage(MessageId(-1)), &[1, 2, 3, 4, 5]),
            (FromMessage(MessageId(5)), &[5]),
            (FromMessage(MessageId(100)), &[5]),
            (FromTimestamp(written), &[1, 2, 3, 4, 5]),
            (FromTimestamp(written + SECOND), &[2, 3, 4, 5]),
            (FromTimestamp(written + SECOND / 2), &[2, 3, 4, 5]),
            (FromTimestamp(written + SECOND * 9), &[5]),
        ]
        .into_iter()
        .enumerate()
        {
            for options in [SubscriptionOptions::default(), per_key()] {
                let name = format!("{}-{number}", options.ordering);
                let member = stage.start(&name, start, options).await;
                assert_eq!(member.subscription().start, start);
                let before = &expected[..expected.len() - 1];
                assert_eq!(stage.pending(&name).await, before, "{start:?}");
            }
        }
        stage.publish(1, 1).await.unwrap();
        let member = stage.start("late", FromMessage(MessageId(2)), per_key());
        assert_eq!(ids(&take(&member.await, 10).await), [2, 3, 4, 5]);
        assert_eq!(stage.pending("per-key-2").await, [3, 4, 5]);
        assert_eq!(stage.pending("unordered-5").await, [5]);
    }
}

#[tokio::test]
async fn a_time_stands_for_the_first_message_written_then_or_later() {
    let stage = Stage::new().await;
    let noon = stage.clock.now();
    for offset in [2, 0, 1, 3] {
        stage.clock.set(noon + SECOND * offset);
        stage.publish(1, 1).await.unwrap();
    }
    stage
        .start("g", StartPosition::FromTimestamp(noon + SECOND), per_key())
        .await;
    assert_eq!(
        stage.pending("g").await,
        [1, 2, 3, 4],
        "also what a clock that steps back dates earlier"
    );
}

#[tokio::test]
async fn what_commits_later_is_owed_wherever_the_start_lies() {
    let stage = Stage::of(offset()).await;
    let mut open = stage.backend.begin().await.unwrap();
    stage
        .backend
        .publish_in(open.tx(), &stage.topic, batch(1, 1))
        .await
        .unwrap();
    stage.publish(2, 1).await.unwrap();
    let start = StartPosition::FromMessage(MessageId(3));
    let member = stage.start("g", start, per_key()).await;
    assert_eq!(stage.pending("g").await, [3]);
    open.commit().await.unwrap();
    assert_eq!(stage.pending("g").await, [1, 3]);
    assert_eq!(take(&member, 10).await.len(), 2);
}

#[tokio::test]
async fn a_start_in_the_past_keeps_the_order_of_commits() {
    let stage = Stage::of(offset()).await;
    let mut open = stage.backend.begin().await.unwrap();
    let message = || vec![NewMessage::new("x").key("k")];
    stage
        .backend
        .publish_in(open.tx(), &stage.topic, message())
        .await
        .unwrap();
    stage
        .backend
        .publish(&stage.topic, message())
        .await
        .unwrap();
    open.commit().await.unwrap();
    let member = stage
        .start("g", StartPosition::FromBeginning, per_key())
        .await;
    assert_eq!(ids(&take(&member, 10).await), [2, 1]);
}

#[tokio::test]
async fn subscribing_again_moves_nothing_and_a_new_life_starts_anew() {
    let stage = Stage::new().await;
    stage.publish(3, 1).await.unwrap();
    let start = StartPosition::FromMessage(MessageId(2));
    let options = SubscriptionOptions::default;
    let member = stage.start("g", start, options()).await;
    member.done(&take(&member, 1).await[0]).await.unwrap();
    let again = stage
        .start("g", StartPosition::FromBeginning, options())
        .await;
    assert_eq!(again.subscription().start, start);
    assert_eq!(stage.pending("g").await, [3]);

    let cancelled = stage.backend.cancel(&stage.topic, &group("g")).await;
    let anew = stage
        .start("g", StartPosition::FromBeginning, options())
        .await;
    assert_ne!(anew.subscription().id, cancelled.unwrap().id);
    assert_eq!(ids(&take(&anew, 10).await), [1, 2, 3]);
}

#[tokio::test]
async fn the_past_reaches_back_to_what_is_kept_and_keeps_it() {
    let stage = Stage::with(MemoryBackend::builder().max_bytes(10_000)).await;
    stage.publish(10, 744).await.unwrap();
    stage.publish(3, 744).await.unwrap();
    assert_eq!(stage.dropped().await, 3);
    let start = StartPosition::FromBeginning;
    stage.start("g", start, per_key()).await;
    assert_eq!(stage.pending("g").await, (4..=13).collect::<Vec<_>>());
    stage.publish(1, 744).await.unwrap_err();
    assert_eq!(stage.kept().await, (4..=13).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_later_start_makes_a_settled_message_required_again() {
    let stage = Stage::new().await;
    let first = stage.join("a").await;
    stage.publish(1, 1).await.unwrap();
    first.done(&take(&first, 1).await[0]).await.unwrap();
    let options = SubscriptionOptions::default();
    let second = stage
        .start("b", StartPosition::FromBeginning, options)
        .await;
    let record = async || {
        let found = stage.backend.accounting(&stage.topic, MessageId(0), 1);
        found.await.unwrap().remove(0)
    };
    let open = record().await;
    assert_eq!(open.required, [group("a"), group("b")].into());
    assert_eq!(open.completed, [group("a")].into());
    assert_eq!(open.completed_at, None);
    second.done(&take(&second, 1).await[0]).await.unwrap();
    assert_eq!(record().await.completed_at, Some(stage.clock.now()));
}
