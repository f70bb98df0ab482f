//! Groups of either ordering on topics of either mode.

use fanout_core::{CompletionMode, ReceiptForm, TopicConfig};

use crate::Harness;
use crate::stage::{
    Fixture, Scene, TestTopic, both_orderings, ids, in_order, of_key, options, same_ids,
    settle_all, take,
};

/// A topic of each mode.
async fn of_both_modes(s: &Scene) -> [TestTopic; 2] {
    let config = |completion_mode| TopicConfig {
        completion_mode,
        ..TopicConfig::default()
    };
    [
        s.topic_with("tracked", config(CompletionMode::ReferenceCounting))
            .await,
        s.topic_with("untracked", config(CompletionMode::OffsetWatermark))
            .await,
    ]
}

pub(crate) async fn every_group_works_on_every_topic(s: &Scene) {
    for topic in of_both_modes(s).await {
        let mut groups = Vec::new();
        for (name, options) in both_orderings() {
            groups.push(topic.group_with(name, options).await);
        }
        let sent = topic.publish_keyed(&["a", "b", "a", "b", "a"]).await;
        for group in &groups {
            assert_eq!(
                group.pending().await,
                sent,
                "every group owes every message"
            );
        }
        for group in groups {
            let drained = group.drain().await;
            same_ids(ids(&drained), sent.clone(), "and is delivered it once");
            if group.name().as_str() == "ordered" {
                in_order(&drained, "in order where that was asked for");
            }
            let stats = group.stats().await;
            assert_eq!(
                (stats.pending, stats.in_flight, stats.delayed),
                (0, 0, 0),
                "and has settled it"
            );
        }
    }
}

pub(crate) async fn receipts_tell_what_accounts_for_a_message(s: &Scene) {
    for topic in of_both_modes(s).await {
        for (name, options) in both_orderings() {
            let group = topic.group_with(name, options).await;
            topic.publish_all(of_key("a", 2)).await;
            let member = group.member().await;
            let held = take(&*member, 2).await;
            let tracked = topic.name().as_str() == "tracked" && name == "unordered";
            for delivery in &held {
                assert_eq!(
                    matches!(delivery.receipt.form(), ReceiptForm::Tracked(_)),
                    tracked,
                    "tracking rows serve groups without order where messages are tracked, and \
                     cursors everything else: {delivery:?}"
                );
            }
            let failed = fanout_core::MemberExt::fail(&*member, &held[0], "no").await;
            failed.expect("it is held");
            settle_all(&*member, &held[1..]).await;
            s.advance(std::time::Duration::from_secs(1));
            let again = take(&*member, 1).await;
            assert!(
                matches!(again[0].receipt.form(), ReceiptForm::Tracked(_)),
                "what was set aside has a tracking row, whatever it had before"
            );
            settle_all(&*member, &again).await;
            assert_eq!(group.pending().await, [], "all are settled");
        }
    }
}

pub(crate) async fn records_are_of_tracked_messages(s: &Scene) {
    for topic in of_both_modes(s).await {
        let group = topic.group("billing").await;
        let sent = topic.publish(3).await;
        let tracked = topic.name().as_str() == "tracked";
        let recorded: Vec<_> = topic.accounting().await.into_keys().collect();
        let expected = if tracked { sent.clone() } else { vec![] };
        assert_eq!(recorded, expected, "tracked messages have records");
        same_ids(ids(&group.drain().await), sent, "all are delivered");
    }
}

pub(crate) async fn queues_work_in_either_mode(s: &Scene) {
    for (name, completion_mode) in [
        ("tracked", CompletionMode::ReferenceCounting),
        ("untracked", CompletionMode::OffsetWatermark),
    ] {
        let config = TopicConfig {
            completion_mode,
            ..TopicConfig::queue()
        };
        let queue = s.topic_with(name, config).await;
        let mut sent = queue.publish(5).await;
        let consumer = queue.consumer().await;
        let held = take(&*consumer, 5).await;
        settle_all(&*consumer, &held[..3]).await;
        consumer.leave().await.expect("a consumer can leave");
        sent.extend(queue.publish(2).await);
        let settled = ids(&held[..3]);
        let rest = sent.into_iter().filter(|id| !settled.contains(id));
        same_ids(
            ids(&queue.queue_group().drain().await),
            rest,
            "a queue delivers each message to one of its consumers",
        );
    }
}

pub(crate) async fn one_transaction_spans_both_modes<H: Harness>(f: &Fixture<H>) {
    let topics = of_both_modes(f).await;
    let mut groups = Vec::new();
    for topic in &topics {
        for (name, options) in both_orderings() {
            groups.push((topic, topic.group_with(name, options).await));
        }
    }
    for commit in [false, true] {
        let mut tx = f.begin().await;
        let mut sent = Vec::new();
        for topic in &topics {
            sent.push(f.publish_all_in(&mut tx, topic, of_key("a", 2)).await);
        }
        if commit {
            tx.commit().await.expect("it can be committed");
        } else {
            tx.rollback().await.expect("it can be undone");
            sent.iter_mut().for_each(Vec::clear);
        }
        for (topic, group) in &groups {
            let place = usize::from(topic.name().as_str() == "untracked");
            assert_eq!(
                group.pending().await,
                sent[place],
                "a transaction publishes to topics of both modes, or to none"
            );
        }
    }
    let mut held = Vec::new();
    for (_, group) in &groups {
        let member = group.member().await;
        let taken = take(&*member, 2).await;
        held.push((member, taken));
    }
    for commit in [false, true] {
        let mut tx = f.begin().await;
        for (_, held) in &held {
            f.settle_in(&mut tx, held).await.expect("they are held");
        }
        if commit {
            tx.commit().await.expect("it can be committed");
        } else {
            tx.rollback().await.expect("it can be undone");
        }
        for (_, group) in &groups {
            assert_eq!(
                group.pending().await.is_empty(),
                commit,
                "and settles of both, or of none"
            );
        }
    }
}

pub(crate) async fn many_groups_of_both_kinds(s: &Scene) {
    for topic in of_both_modes(s).await {
        let mut groups = topic.groups(6).await;
        for i in 0..6 {
            let (_, ordered) = both_orderings()[1].clone();
            groups.push(topic.group_with(&format!("ordered {i}"), ordered).await);
        }
        let sent = topic.publish_keyed(&["a", "b", "a"]).await;
        let gone = groups.split_off(11);
        for group in &gone {
            group.cancel().await.expect("a group can be cancelled");
        }
        for (i, group) in groups.iter().enumerate() {
            if i % 2 == 0 {
                same_ids(ids(&group.drain().await), sent.clone(), "each gets all");
            }
        }
        for (i, group) in groups.iter().enumerate() {
            let expected = if i % 2 == 0 { vec![] } else { sent.clone() };
            assert_eq!(group.pending().await, expected, "at its own pace");
        }
        let anew = gone[0].subscribe(options()).await;
        anew.expect("after a cancellation the ordering may change");
        assert_eq!(gone[0].pending().await, [], "and nothing of before is owed");
    }
}
