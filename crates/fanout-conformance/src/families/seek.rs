//! Moving a group to another position.

use std::time::Duration;

use fanout_core::{
    ErrorKind, Extension, Member, MemberExt, MessageId, Outcome, Settlement, StartPosition,
    SubscriptionOptions, SubscriptionStatus,
};

use crate::stage::{
    LEASE, Scene, TestGroup, TestTopic, blocking, both_orderings, ids, in_order, nothing, of_key,
    ordered, outcomes, receipts, refused, same_ids, settle_all, take,
};

use StartPosition::{FromBeginning, FromMessage, FromNow, FromTimestamp};

const SECOND: Duration = Duration::from_secs(1);

/// For each ordering a topic of its own, with a group and messages that it owes.
pub(super) async fn stage(s: &Scene, n: usize) -> Vec<(TestTopic, TestGroup, Vec<MessageId>)> {
    let mut stages = Vec::new();
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let group = topic.group_with("billing", options).await;
        let keys: Vec<_> = (0..n).map(|i| ["a", "b", "a"][i % 3]).collect();
        let sent = topic.publish_keyed(&keys).await;
        stages.push((topic, group, sent));
    }
    stages
}

pub(super) async fn seek(group: &TestGroup, to: StartPosition) {
    let sought = group.seek(to).await;
    sought.expect("a live group can be moved anywhere");
}

/// Asserts that the group owes exactly these, and is delivered them, by this member, as if for the
/// first time.
pub(super) async fn owes(
    group: &TestGroup,
    member: &dyn Member,
    expected: &[MessageId],
    promise: &str,
) {
    group.scene().maintain_until_idle().await;
    assert_eq!(group.pending().await, expected, "{promise}");
    let drained = group.drain_by(member).await;
    same_ids(ids(&drained), expected.to_vec(), promise);
    assert!(
        drained.iter().all(|delivery| delivery.attempt == 1),
        "{promise}, counted from 1"
    );
    let options = group
        .subscription()
        .await
        .expect("it is subscribed")
        .options;
    if options.ordering == fanout_core::Ordering::PerKey {
        in_order(&drained, promise);
    }
    assert_eq!(group.pending().await, [], "{promise}, and settles");
}

pub(crate) async fn seeking_back_delivers_again(s: &Scene) {
    for (topic, group, sent) in stage(s, 6).await {
        group.drain().await;
        let member = group.member().await;
        for (to, from) in [
            (FromBeginning, 0),
            (FromMessage(sent[2]), 2),
            (FromMessage(MessageId(0)), 0),
            (FromMessage(sent[5]), 5),
        ] {
            seek(&group, to).await;
            let promise = "what lies at or above the position is owed again, settled or not";
            owes(&group, &*member, &sent[from..], promise).await;
        }
        let more = topic.publish_keyed(&["a", "b"]).await;
        owes(&group, &*member, &more, "new ones come once").await;
    }
}

pub(crate) async fn seeking_forward_skips(s: &Scene) {
    for (topic, group, sent) in stage(s, 6).await {
        let member = group.member().await;
        seek(&group, FromMessage(sent[4])).await;
        let promise = "what lies below the position is skipped";
        owes(&group, &*member, &sent[4..], promise).await;
        let more = topic.publish_all(of_key("a", 3)).await;
        seek(&group, FromNow).await;
        owes(
            &group,
            &*member,
            &[],
            "from now on nothing of before is owed",
        )
        .await;
        assert_eq!(group.dead_letters().await, [], "nor given up");
        seek(&group, FromMessage(more[0])).await;
        let promise = "what was skipped can be sought again";
        owes(&group, &*member, &more, promise).await;
    }
}

pub(crate) async fn seeking_to_a_time(s: &Scene) {
    for (topic, group, _) in stage(s, 1).await {
        s.advance(SECOND);
        let began = s.now();
        let mut sent = Vec::new();
        for _ in 0..4 {
            sent.extend(topic.publish_all(of_key("a", 1)).await);
            s.advance(SECOND);
        }
        let member = group.member().await;
        for (at, from) in [
            (began, 0),
            (began + SECOND * 2, 2),
            (began + SECOND + Duration::from_micros(1), 2),
            (s.now(), 4),
        ] {
            seek(&group, FromTimestamp(at)).await;
            let promise = "what was written since then is owed";
            owes(&group, &*member, &sent[from..], promise).await;
        }
    }
}

pub(crate) async fn the_subscription_stays_the_same(s: &Scene) {
    for (topic, group, sent) in stage(s, 3).await {
        let before = group.subscription().await.expect("it is subscribed");
        s.advance(SECOND);
        let after = group.seek(FromMessage(sent[1])).await;
        let after = after.expect("a live group can be moved");
        assert_ne!(
            after.group_index, before.group_index,
            "it takes another bit, so that receipts of before are told apart"
        );
        let expected = fanout_core::Subscription {
            group_index: after.group_index,
            ..before
        };
        assert_eq!(after, expected, "and is the same in all else");
        let read = group.subscription().await.expect("it is subscribed");
        assert_eq!(read, after, "for everybody");
        let listed = s.backend.subscriptions(topic.name()).await;
        let listed = listed.expect("subscriptions can be listed");
        assert_eq!(listed, [after], "no other subscription was made");
    }
}

pub(crate) async fn what_is_in_hand_becomes_stale(s: &Scene) {
    for (_, group, sent) in stage(s, 6).await {
        let member = group.member().await;
        let held = take(&*member, 6).await;
        seek(&group, FromMessage(sent[1])).await;
        let late = [
            Settlement::done(held[0].receipt),
            Settlement::skip(held[1].receipt),
            Settlement::fail(held[2].receipt, "no"),
            Settlement::release(held[3].receipt),
        ];
        assert_eq!(
            outcomes(&*member, &late).await,
            [Outcome::Stale; 4],
            "receipts of before change nothing"
        );
        let extended = member.extend(&receipts(&held), LEASE * 3).await;
        assert_eq!(
            extended.expect("stale is no error of the call"),
            [Extension::Stale; 6],
            "whatever they are used for"
        );
        let promise = "and the member goes on from the new position";
        owes(&group, &*member, &sent[1..], promise).await;
    }
}

pub(crate) async fn members_go_on_without_joining_anew(s: &Scene) {
    for (topic, group, sent) in stage(s, 6).await {
        let one = group.member().await;
        let held = take(&*one, 2).await;
        settle_all(&*one, &held).await;
        seek(&group, FromBeginning).await;
        let again = take(&*one, 6).await;
        same_ids(ids(&again), sent.clone(), "a member reads from there");
        let beaten = one.heartbeat().await.expect("and its beats go on");
        let read = group.subscription().await.expect("it is subscribed");
        assert_eq!(beaten, read, "with the new bit");
        one.leave().await.expect("a member can leave");
        let two = group.member().await;
        let promise = "and members that join read from there as well";
        owes(&group, &*two, &sent, promise).await;
        topic.complete(&sent, "all are settled").await;
    }
}

pub(crate) async fn a_paused_group_stays_paused(s: &Scene) {
    for (_, group, sent) in stage(s, 4).await {
        group.drain().await;
        let paused = group.pause().await.expect("a live group can be paused");
        s.advance(SECOND);
        let sought = group.seek(FromMessage(sent[1])).await;
        let sought = sought.expect("a paused group can be moved");
        assert_eq!(
            (sought.status, sought.status_changed_at),
            (SubscriptionStatus::Paused, paused.status_changed_at),
            "its status does not change"
        );
        let member = group.member().await;
        nothing(&*member, "and nothing is delivered").await;
        s.maintain_until_idle().await;
        assert_eq!(group.stats().await.pending, 3, "but owed");
        group.resume().await.expect("a paused group can be resumed");
        owes(
            &group,
            &*member,
            &sent[1..],
            "and delivered once it is resumed",
        )
        .await;
    }
}

pub(crate) async fn who_is_not_live_cannot_be_moved(s: &Scene) {
    let topic = s.topic("orders").await;
    refused(
        topic.at("nobody").seek(FromBeginning).await,
        &[ErrorKind::SubscriptionNotFound],
        "a group that never subscribed cannot be moved",
    );
    for (_, group, _) in stage(s, 3).await {
        let cancelled = group.cancel().await.expect("a group can be cancelled");
        refused(
            group.seek(FromBeginning).await,
            &[ErrorKind::InvalidTransition],
            "a cancelled one neither",
        );
        let read = group.subscription().await.expect("it is kept");
        assert_eq!(read, cancelled, "a refused seek changes nothing");
        assert_eq!(group.pending().await, [], "and brings nothing back");
    }
    refused(
        s.at("unknown").at("billing").seek(FromBeginning).await,
        &[ErrorKind::TopicNotFound],
        "nor one of a topic that does not exist",
    );
}

pub(crate) async fn a_queue_can_be_moved(s: &Scene) {
    let queue = s.queue("jobs").await;
    let sent = queue.publish(5).await;
    let group = queue.queue_group();
    let consumer = queue.consumer().await;
    let held = take(&*consumer, 5).await;
    settle_all(&*consumer, &held[..2]).await;
    seek(&group, FromBeginning).await;
    let late = [Settlement::done(held[2].receipt)];
    assert_eq!(
        outcomes(&*consumer, &late).await,
        [Outcome::Stale],
        "what its consumers hold becomes stale"
    );
    let promise = "a queue can be replayed";
    owes(&group, &*consumer, &sent, promise).await;
    let more = queue.publish(2).await;
    seek(&group, FromMessage(more[1])).await;
    owes(&group, &*consumer, &more[1..], "and moved on").await;
}

pub(crate) async fn other_groups_are_not_concerned(s: &Scene) {
    let topic = s.topic("orders").await;
    let (moved, other) = (topic.group("moved").await, topic.group("other").await);
    let sent = topic.publish(4).await;
    let member = other.member().await;
    let held = take(&*member, 4).await;
    settle_all(&*member, &held[..1]).await;
    member.fail(&held[1], "no").await.expect("it is held");
    moved.drain().await;
    let before = other.stats().await;
    seek(&moved, FromBeginning).await;
    s.maintain_until_idle().await;
    assert_eq!(
        other.stats().await,
        before,
        "another group stands as it did"
    );
    settle_all(&*member, &held[2..]).await;
    seek(&moved, FromNow).await;
    s.advance(SECOND);
    same_ids(
        ids(&other.drain_by(&*member).await),
        [held[1].message.id],
        "and goes on as it would have",
    );
    assert_eq!(
        moved.pending().await,
        [],
        "while the moved one owes nothing"
    );
    topic.complete(&sent, "all is settled for both").await;
}

pub(crate) async fn what_was_set_aside_is_forgotten(s: &Scene) {
    for (_, group, sent) in stage(s, 4).await {
        let member = group.member().await;
        let held = take(&*member, 4).await;
        let failures: Vec<_> = held
            .iter()
            .map(|delivery| Settlement::fail(delivery.receipt, "no"))
            .collect();
        outcomes(&*member, &failures).await;
        seek(&group, FromBeginning).await;
        owes(&group, &*member, &sent, "failures of before do not count").await;
        s.advance(LEASE * 10);
        nothing(&*member, "and what was set aside comes no second time").await;

        seek(&group, FromBeginning).await;
        let held = take(&*member, 2).await;
        member.fail(&held[0], "no").await.expect("it is held");
        seek(&group, FromNow).await;
        s.advance(LEASE * 10);
        owes(&group, &*member, &[], "nor after it was skipped").await;
    }
}

pub(crate) async fn attempts_are_counted_anew(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let options = SubscriptionOptions {
            max_attempts: 2,
            ..options
        };
        let group = topic.group_with("billing", options).await;
        topic.publish_all(of_key("a", 1)).await;
        let member = group.member().await;
        for _ in 0..3 {
            let delivery = take(&*member, 1).await.remove(0);
            assert_eq!(delivery.attempt, 1, "attempts are counted from 1");
            let outcome = member.fail(&delivery, "no").await.expect("it is held");
            assert!(
                matches!(outcome, Outcome::Retry { .. }),
                "and the first of two is not the last: {outcome:?}"
            );
            seek(&group, FromBeginning).await;
        }
        assert_eq!(group.dead_letters().await, [], "so nothing is given up");
    }
}

pub(crate) async fn dead_letters_stay(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let options = SubscriptionOptions {
            max_attempts: 1,
            ..options
        };
        let group = topic.group_with("billing", options).await;
        let sent = topic.publish_all(of_key("a", 2)).await;
        let member = group.member().await;
        let first = take(&*member, 1).await.remove(0);
        member.fail(&first, "no").await.expect("it is held");
        let dead = group.dead_letters().await;
        assert_eq!(dead.len(), 1, "it is given up");
        seek(&group, FromBeginning).await;
        assert_eq!(group.dead_letters().await, dead, "dead letters stay");
        let promise = "and what they are of is owed again";
        owes(&group, &*member, &sent, promise).await;
        assert_eq!(group.dead_letters().await, dead, "and stay");
    }
}

pub(crate) async fn a_blocked_lane_is_free_again(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", blocking()).await;
    let sent = topic.publish_all(of_key("a", 3)).await;
    let member = group.member().await;
    for _ in 0..2 {
        let held = take(&*member, 3).await;
        member.fail(&held[0], "no").await.expect("it is held");
        nothing(&*member, "a failure blocks").await;
        seek(&group, FromBeginning).await;
    }
    owes(&group, &*member, &sent, "after a seek nothing is blocked").await;
}

pub(crate) async fn leases_of_before_end_nothing(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let options = SubscriptionOptions {
            max_stalls: 1,
            ..options
        };
        let group = topic.group_with("billing", options).await;
        let sent = topic.publish_all(of_key("a", 2)).await;
        let member = group.member().await;
        take(&*member, 2).await;
        s.advance(LEASE / 2);
        seek(&group, FromMessage(sent[0])).await;
        let again = take(&*member, 2).await;
        s.advance(LEASE / 2);
        nothing(&*member, "leases of before do not end those of now").await;
        settle_all(&*member, &again).await;
        assert_eq!(group.dead_letters().await, [], "nor count as stalls");
    }
}

pub(crate) async fn any_number_of_moves(s: &Scene) {
    for (_, group, sent) in stage(s, 6).await {
        let member = group.member().await;
        for round in 0..30 {
            let from = round * 7 % 6;
            seek(&group, FromMessage(sent[from])).await;
            if round % 3 == 0 {
                let held = take(&*member, 1).await;
                settle_all(&*member, &held).await;
            }
        }
        seek(&group, FromMessage(sent[2])).await;
        owes(&group, &*member, &sent[2..], "the last one counts").await;
    }
}

pub(crate) async fn an_ordered_group_goes_on_in_order(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", ordered()).await;
    let mut sent = topic.publish_all(of_key("a", 6)).await;
    let member = group.member().await;
    let held = take(&*member, 4).await;
    settle_all(&*member, &held[..2]).await;
    seek(&group, FromMessage(sent[1])).await;
    sent.extend(topic.publish_all(of_key("a", 2)).await);
    let mut again = take(&*member, 5).await;
    refused(
        member.done(&again[1]).await,
        &[ErrorKind::OutOfOrder],
        "settlements of before do not open the way",
    );
    settle_all(&*member, &again).await;
    again.extend(group.drain_by(&*member).await);
    assert_eq!(ids(&again), sent[1..], "in order from the position on");
}
