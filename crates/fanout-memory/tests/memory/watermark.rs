//! Up to where a topic is settled.

use fanout_core::{Backend, Clock, ErrorKind, MemberExt, MessageId, StartPosition, Transactional};

use crate::stage::{Stage, batch, group, kind, offset, per_key, take, topic};

async fn watermark(stage: &Stage) -> (i64, i64) {
    let found = stage.backend.watermark(&stage.topic).await.unwrap();
    assert_eq!(found.updated_at, stage.clock.now());
    (found.id.0, found.decided.0)
}

#[tokio::test]
async fn it_stands_below_what_any_counting_group_owes() {
    for config in [offset(), Default::default()] {
        let stage = Stage::of(config).await;
        assert_eq!(watermark(&stage).await, (0, 0));
        stage.publish(2, 1).await.unwrap();
        assert_eq!(watermark(&stage).await, (2, 2), "nobody owes anything");
        let (a, b) = (stage.join("a").await, stage.join_with("b", per_key()).await);
        stage.publish(3, 1).await.unwrap();
        assert_eq!(watermark(&stage).await, (2, 5));
        let held = take(&a, 10).await;
        a.done(&held[1]).await.unwrap();
        b.done_all(&take(&b, 10).await).await.unwrap();
        assert_eq!(watermark(&stage).await, (2, 5));
        a.done(&held[0]).await.unwrap();
        assert_eq!(watermark(&stage).await, (4, 5));

        let (topic, name) = (&stage.topic, &group("a"));
        stage.backend.pause(topic, name).await.unwrap();
        assert_eq!(watermark(&stage).await, (4, 5), "a paused group counts");
        let back = StartPosition::FromMessage(MessageId(2));
        stage.backend.seek(topic, &group("b"), back).await.unwrap();
        assert_eq!(watermark(&stage).await, (1, 5));
        stage.backend.cancel(topic, &group("b")).await.unwrap();
        stage.backend.cancel(topic, name).await.unwrap();
        assert_eq!(watermark(&stage).await, (5, 5));
    }
}

#[tokio::test]
async fn a_parked_message_holds_it() {
    let stage = Stage::of(offset()).await;
    let member = stage.join_with("g", per_key()).await;
    stage.publish(2, 1).await.unwrap();
    let held = take(&member, 2).await;
    member.fail(&held[0], "no").await.unwrap();
    member.done(&held[1]).await.unwrap();
    assert_eq!(watermark(&stage).await, (0, 2));
}

#[tokio::test]
async fn an_open_publisher_holds_it_until_it_ends_either_way() {
    for commits in [true, false] {
        let stage = Stage::of(offset()).await;
        let member = stage.join("g").await;
        stage.publish(1, 1).await.unwrap();
        let mut open = stage.backend.begin().await.unwrap();
        stage
            .backend
            .publish_in(open.tx(), &stage.topic, batch(2, 1))
            .await
            .unwrap();
        stage.publish(1, 1).await.unwrap();
        let held = take(&member, 10).await;
        assert_eq!(watermark(&stage).await, (0, 1));
        for delivery in &held {
            member.done(delivery).await.unwrap();
            assert_eq!(watermark(&stage).await, (1, 1));
        }
        if commits {
            open.commit().await.unwrap();
            assert_eq!(watermark(&stage).await, (1, 4));
            member.done_all(&take(&member, 10).await).await.unwrap();
        } else {
            open.rollback().await.unwrap();
        }
        assert_eq!(watermark(&stage).await, (4, 4));
    }
}

#[tokio::test]
async fn there_is_none_of_no_topic() {
    let stage = Stage::new().await;
    let none = stage.backend.watermark(&topic("none")).await;
    assert_eq!(kind(none), ErrorKind::TopicNotFound);
}
