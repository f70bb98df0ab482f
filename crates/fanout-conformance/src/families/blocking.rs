//! Failures that block their lane until the message is settled or given up.

use std::time::Duration;

use fanout_core::{
    DeadReason, ErrorKind, MemberExt, MessageId, NewMessage, Outcome, Settlement,
    SubscriptionOptions, lane_of,
};

use crate::Harness;
use crate::stage::{
    Fixture, LEASE, STALE, Scene, TestGroup, TestTopic, blocking, fetch, gather, ids, keyed,
    nothing, of_key, ordered, outcomes, refused, same_ids, settle_all, take, take_all,
};

/// How long a first failure waits, with [`blocking`].
const WAIT: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_micros(1);

/// A topic of one lane, which all keys share, and a group.
async fn one_lane(s: &Scene) -> (TestTopic, TestGroup) {
    let topic = s.topic_of_lanes("orders", 1).await;
    let group = topic.group_with("billing", blocking()).await;
    (topic, group)
}

/// Two keys of different lanes.
fn keys_apart(lanes: u16) -> [String; 2] {
    let lane = |key: &str| lane_of(Some(key), 0, lanes);
    let first = "key 0".to_owned();
    let mut others = (1..).map(|i| format!("key {i}"));
    let second = others.find(|key| lane(key) != lane(&first));
    [first, second.expect("there are keys of every lane")]
}

pub(crate) async fn a_failure_blocks_its_key_until_it_is_due(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", blocking()).await;
    let sent = topic.publish_all(of_key("a", 3)).await;
    let member = group.member().await;
    let first = take(&*member, 1).await.remove(0);
    let due = s.now() + WAIT;
    assert_eq!(
        member.fail(&first, "no").await.expect("it is held"),
        Outcome::Retry { due },
        "a failed message is tried again"
    );
    let promise = "until then nothing of its key is delivered";
    nothing(&*member, promise).await;
    s.clock.set(due - TICK);
    nothing(&*member, promise).await;
    s.clock.set(due);
    let again = take(&*member, 3).await;
    assert_eq!(ids(&again), sent, "then the key goes on from that message");
    let attempts: Vec<_> = again.iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(attempts, [2, 1, 1], "the failed one at its next attempt");
    refused(
        member.done(&again[1]).await,
        &[ErrorKind::OutOfOrder],
        "order holds as ever",
    );
    settle_all(&*member, &again).await;
    assert_eq!(group.pending().await, [], "all are settled");
}

pub(crate) async fn what_was_delivered_after_it_in_its_lane_is_released(s: &Scene) {
    let (topic, group) = one_lane(s).await;
    let sent = topic.publish_keyed(&["a", "b", "c", "b", "a", "d"]).await;
    let member = group.member().await;
    let held = take(&*member, 6).await;
    assert_eq!(
        ids(&held),
        sent,
        "one lane delivers in the order of its log"
    );
    // `c` comes after it and is settled before it fails; `a` comes before it.
    settle_all(&*member, &held[2..3]).await;
    let due = s.now() + WAIT;
    assert_eq!(
        member.fail(&held[1], "no").await.expect("it is held"),
        Outcome::Retry { due },
        "its key has no earlier message"
    );
    let promise = "what was delivered after it in its lane is released, of whatever key";
    let stale = STALE;
    for delivery in &held[3..] {
        refused(member.done(delivery).await, stale, promise);
        refused(member.release(delivery).await, stale, promise);
    }
    settle_all(&*member, &held[..1]).await;
    nothing(&*member, "nothing of the lane is delivered until it is due").await;
    s.clock.set(due);
    let again = take(&*member, 4).await;
    assert_eq!(
        ids(&again),
        [sent[1], sent[3], sent[4], sent[5]],
        "then the lane goes on from it; what was settled does not come again"
    );
    let attempts: Vec<_> = again.iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(
        attempts,
        [2, 1, 1, 1],
        "being released is no failed attempt"
    );
    settle_all(&*member, &again).await;
}

pub(crate) async fn in_one_call_too(s: &Scene) {
    let (topic, group) = one_lane(s).await;
    let sent = topic.publish_keyed(&["a", "b", "c", "d"]).await;
    let member = group.member().await;
    let held = take(&*member, 4).await;
    let settlements = [
        Settlement::done(held[3].receipt),
        Settlement::fail(held[1].receipt, "no"),
        Settlement::skip(held[2].receipt),
        Settlement::done(held[0].receipt),
    ];
    let due = s.now() + WAIT;
    assert_eq!(
        outcomes(&*member, &settlements).await,
        [
            Outcome::Stale,
            Outcome::Retry { due },
            Outcome::Stale,
            Outcome::Applied,
        ],
        "a call is judged in the order of delivery: what comes after the failure is released"
    );
    assert_eq!(group.pending().await, sent[1..], "and owed");
    s.clock.set(due);
    assert_eq!(
        ids(&group.drain_by(&*member).await),
        sent[1..],
        "and delivered in order"
    );
}

pub(crate) async fn other_lanes_go_on(s: &Scene) {
    let topic = s.topic_of_lanes("orders", 8).await;
    let group = topic.group_with("billing", blocking()).await;
    let [a, b] = keys_apart(8);
    let member = group.member().await;
    let blocked = topic.publish_keyed(&[&a]).await;
    let first = take(&*member, 1).await.remove(0);
    let due = s.now() + WAIT;
    member.fail(&first, "no").await.expect("it is held");
    let free = topic.publish_keyed(&[&b, &a, &b]).await;
    let others = take(&*member, 2).await;
    assert_eq!(
        ids(&others),
        [free[0], free[2]],
        "a blocked lane holds up no other"
    );
    settle_all(&*member, &others).await;
    assert_eq!(
        group.stats().await.delayed,
        1,
        "a lane that waits counts once"
    );
    s.clock.set(due);
    assert_eq!(
        ids(&group.drain_by(&*member).await),
        [blocked[0], free[1]],
        "then it goes on"
    );
}

pub(crate) async fn messages_without_a_key_block_too(s: &Scene) {
    let (topic, group) = one_lane(s).await;
    let sent = topic.publish(3).await;
    let member = group.member().await;
    let held = take(&*member, 3).await;
    settle_all(&*member, &held[..1]).await;
    member.fail(&held[1], "no").await.expect("it is held");
    refused(
        member.done(&held[2]).await,
        STALE,
        "what comes after it in its lane is released",
    );
    nothing(&*member, "and waits").await;
    s.advance(WAIT);
    same_ids(
        ids(&group.drain_by(&*member).await),
        sent[1..].to_vec(),
        "then both are delivered",
    );
}

pub(crate) async fn the_last_attempt_lets_the_lane_go_on(s: &Scene) {
    let topic = s.topic_of_lanes("orders", 1).await;
    let options = SubscriptionOptions {
        max_attempts: 3,
        ..blocking()
    };
    let group = topic.group_with("billing", options).await;
    let sent = topic.publish_keyed(&["a", "b", "a"]).await;
    let member = group.member().await;
    for attempt in 1..=2 {
        let held = take(&*member, 3).await;
        assert_eq!(
            (ids(&held), held[0].attempt),
            (sent.clone(), attempt),
            "the lane goes on from the failed message each time"
        );
        let Outcome::Retry { due } = member.fail(&held[0], "no").await.expect("it is held") else {
            panic!("attempt {attempt} of 3 is tried again");
        };
        nothing(&*member, "and waits between").await;
        s.clock.set(due);
    }
    let held = take(&*member, 3).await;
    let outcome = member.fail(&held[0], "the last").await.expect("it is held");
    assert_eq!(outcome, Outcome::DeadLettered, "the last attempt gives up");
    let dead = group.dead_letters().await;
    assert_eq!(dead.len(), 1, "there is one dead letter: {dead:?}");
    assert_eq!(
        (
            dead[0].message.id,
            dead[0].attempts,
            dead[0].reason,
            dead[0].last_error.as_deref()
        ),
        (sent[0], 3, DeadReason::AttemptsExhausted, Some("the last")),
        "that says so"
    );
    // Whether or not what was in hand behind it stays there, it can be settled now.
    let mut rest = Vec::new();
    for delivery in &held[1..] {
        if member.done(delivery).await.is_ok() {
            rest.push(delivery.message.id);
        }
    }
    rest.extend(ids(&group.drain_by(&*member).await));
    assert_eq!(
        rest,
        sent[1..],
        "and the lane goes on at once, without a wait, in order"
    );
    assert_eq!(group.pending().await, [], "all are settled");
}

pub(crate) async fn with_one_attempt_nothing_waits(s: &Scene) {
    let topic = s.topic_of_lanes("orders", 1).await;
    let options = SubscriptionOptions {
        max_attempts: 1,
        ..blocking()
    };
    let group = topic.group_with("billing", options).await;
    let sent = topic.publish_all(of_key("a", 4)).await;
    let member = group.member().await;
    for id in &sent {
        let delivery = take(&*member, 1).await.remove(0);
        assert_eq!(delivery.message.id, *id, "each is delivered in its turn");
        let outcome = member.fail(&delivery, "no").await.expect("it is held");
        assert_eq!(outcome, Outcome::DeadLettered, "and given up at once");
    }
    assert_eq!(group.dead_letters().await.len(), 4, "all are given up");
}

pub(crate) async fn failures_are_counted_per_message(s: &Scene) {
    let (topic, group) = one_lane(s).await;
    let sent = topic.publish_all(of_key("a", 2)).await;
    let member = group.member().await;
    let mut expected = [1, 1];
    // The second fails between failures of the first, in its place.
    for place in [0, 0, 1, 1] {
        let held = take_all(&*member).await;
        let attempts: Vec<_> = held.iter().map(|delivery| delivery.attempt).collect();
        let from = sent.len() - held.len();
        assert_eq!(attempts, expected[from..], "each counts its own failures");
        let delivery = &held[place - from];
        if place == 1 && from == 0 {
            settle_all(&*member, &held[..1]).await;
        }
        let outcome = member.fail(delivery, "no").await.expect("it is held");
        let Outcome::Retry { due } = outcome else {
            panic!("there are attempts left, yet {outcome:?}");
        };
        expected[place] += 1;
        s.clock.set(due);
    }
    let last = take(&*member, 1).await;
    assert_eq!(
        (last[0].message.id, last[0].attempt),
        (sent[1], 3),
        "also after the one before it was settled"
    );
    settle_all(&*member, &last).await;
}

pub(crate) async fn a_release_does_not_block(s: &Scene) {
    let (topic, group) = one_lane(s).await;
    let sent = topic.publish_all(of_key("a", 3)).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    member.release(&held[0]).await.expect("it is held");
    member.release(&held[1]).await.expect("it is held");
    let again = take(&*member, 3).await;
    assert_eq!(ids(&again), sent, "what is released is due at once");
    settle_all(&*member, &again).await;
}

pub(crate) async fn a_blocked_lane_survives_its_member(s: &Scene) {
    let (topic, group) = one_lane(s).await;
    let options = SubscriptionOptions {
        backoff: fanout_core::Backoff::default()
            .with_jitter(0.0)
            .with_initial(LEASE * 10)
            .with_max(LEASE * 10),
        ..blocking()
    };
    let changed = group.subscribe(options).await;
    changed.expect("options can be changed");
    let sent = topic.publish_all(of_key("a", 3)).await;
    let one = group.member().await;
    let first = take(&*one, 1).await.remove(0);
    let due = s.now() + LEASE * 10;
    let outcome = one.fail(&first, "no").await.expect("it is held");
    assert_eq!(outcome, Outcome::Retry { due }, "it waits for long");
    one.leave().await.expect("a member can leave");
    let promise = "who takes over a blocked lane waits as well";
    let two = group.member().await;
    nothing(&*two, promise).await;
    drop(two);
    s.clock.set(due - TICK);
    group.nothing(promise).await;
    s.clock.set(due);
    let members = group.members(2).await;
    let again = gather(&members, 3).await.concat();
    let attempts: Vec<_> = again.iter().map(|delivery| delivery.attempt).collect();
    same_ids(ids(&again), sent, "then the lane goes on");
    assert_eq!(
        attempts,
        [2, 1, 1],
        "from that message, and knows its failures"
    );
    settle_all(&*members[0], &again).await;
}

pub(crate) async fn a_late_failure_blocks_nothing(s: &Scene) {
    let (topic, group) = one_lane(s).await;
    let sent = topic.publish_all(of_key("a", 2)).await;
    let one = group.member().await;
    let old = take(&*one, 2).await;
    s.lapse();
    let two = group.member().await;
    let again = take(&*two, 2).await;
    let late = [Settlement::fail(old[0].receipt, "no")];
    assert_eq!(
        outcomes(&*one, &late).await,
        [Outcome::Stale],
        "a failure with a stale receipt changes nothing"
    );
    assert_eq!(ids(&again), sent, "the lane is where it was");
    settle_all(&*two, &again).await;
}

pub(crate) async fn pausing_and_cancelling_concern_it_too(s: &Scene) {
    let (topic, group) = one_lane(s).await;
    let sent = topic.publish_all(of_key("a", 2)).await;
    let member = group.member().await;
    let first = take(&*member, 1).await.remove(0);
    member.fail(&first, "no").await.expect("it is held");
    group.pause().await.expect("a live group can be paused");
    s.advance(WAIT);
    nothing(&*member, "a paused group gets nothing that is due").await;
    group.resume().await.expect("a paused group can be resumed");
    let again = take(&*member, 2).await;
    assert_eq!(ids(&again), sent, "a resumed one does");
    member.fail(&again[0], "no").await.expect("it is held");
    group.cancel().await.expect("a group can be cancelled");
    let anew = group.subscribe(ordered()).await;
    anew.expect("a cancelled group may subscribe again");
    let fresh = topic.publish_all(of_key("a", 1)).await;
    assert_eq!(
        ids(&group.drain().await),
        fresh,
        "of the old blockade nothing is left"
    );
}

pub(crate) async fn a_later_commit_waits_behind_it<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = one_lane(f).await;
    let mut tx = f.begin().await;
    let late = f.publish_all_in(&mut tx, &topic, of_key("b", 1)).await;
    let sent = topic.publish_all(of_key("a", 1)).await;
    let member = group.member().await;
    let first = take(&*member, 1).await.remove(0);
    let due = f.now() + WAIT;
    member.fail(&first, "no").await.expect("it is held");
    tx.commit().await.expect("it can be committed");
    nothing(&*member, "what commits meanwhile waits, whatever its id").await;
    f.clock.set(due);
    let order: Vec<MessageId> = vec![sent[0], late[0]];
    assert_eq!(
        ids(&group.drain_by(&*member).await),
        order,
        "and comes after the message that blocked"
    );
}

pub(crate) async fn a_transaction_settles_what_came_before<H: Harness>(f: &Fixture<H>) {
    let (topic, group) = one_lane(f).await;
    let batch = [keyed(&["a", "b", "c"]), vec![NewMessage::new("no key")]];
    let sent = topic.publish_all(batch.concat()).await;
    let member = group.member().await;
    let held = take(&*member, 4).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held[..1]).await.expect("it is held");
    tx.commit().await.expect("it can be committed");
    member.fail(&held[1], "no").await.expect("it is held");
    f.no_transaction_settles(
        &held[2..],
        STALE,
        "what came after is released, for transactions too",
    )
    .await;
    assert_eq!(group.pending().await, sent[1..], "and owed");
    f.advance(WAIT);
    assert_eq!(
        ids(&group.drain_by(&*member).await),
        sent[1..],
        "and the lane goes on"
    );
}

pub(crate) async fn new_options_turn_it_on_and_off(s: &Scene) {
    let (topic, group) = one_lane(s).await;
    let sent = topic.publish_all(of_key("a", 2)).await;
    let member = group.member().await;
    let first = take(&*member, 1).await.remove(0);
    let changed = group.subscribe(ordered()).await;
    changed.expect("how failures are treated can be changed");
    member.heartbeat().await.expect("the group is live");
    member.fail(&first, "no").await.expect("it is held");
    let second = take(&*member, 1).await;
    assert_eq!(ids(&second), sent[1..], "without blocking the lane goes on");
    let changed = group.subscribe(blocking()).await;
    changed.expect("and back");
    member.heartbeat().await.expect("the group is live");
    member.fail(&second[0], "no").await.expect("it is held");
    let fresh = topic.publish_all(of_key("a", 1)).await;
    assert_eq!(
        ids(&fetch(&*member, 10).await),
        [],
        "with it the lane waits"
    );
    s.advance(WAIT);
    let expected = [sent, fresh].concat();
    same_ids(
        ids(&group.drain_by(&*member).await),
        expected,
        "and everything is delivered in the end",
    );
}
