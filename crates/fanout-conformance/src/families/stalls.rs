//! Messages whose consumers vanish again and again.

use fanout_core::{
    DeadReason, Delivery, MemberExt, MessageId, SubscriptionOptions, SubscriptionStatus,
};

use crate::stage::{
    LEASE, STALE, Scene, TestGroup, TestTopic, both_orderings, fetch, ids, in_order, of_key,
    ordered, refused, same_ids, settle_all, take,
};

/// More crashes than it may take to find out what kills consumers.
const MAX_CRASHES: usize = 60;

async fn group_that_gives_up(
    topic: &TestTopic,
    stalls: u32,
    options: SubscriptionOptions,
) -> TestGroup {
    let options = SubscriptionOptions {
        max_stalls: stalls,
        ..options
    };
    topic.group_with("billing", options).await
}

/// Consumes, as one new member after the other, until nothing is owed. A member vanishes at the
/// messages that `kill`, each time. What was settled, in order, and how many members vanished.
async fn consume(
    s: &Scene,
    group: &TestGroup,
    limit: usize,
    kills: impl Fn(&Delivery) -> bool,
) -> (Vec<Delivery>, usize) {
    let (mut settled, mut crashes) = (Vec::new(), 0);
    while crashes < MAX_CRASHES {
        let member = group.member().await;
        let mut quiet = 0;
        'life: loop {
            let deliveries = fetch(&*member, limit).await;
            quiet = if deliveries.is_empty() { quiet + 1 } else { 0 };
            if quiet == 20 {
                break;
            }
            for delivery in deliveries {
                if kills(&delivery) {
                    crashes += 1;
                    break 'life;
                }
                settle_all(&*member, std::slice::from_ref(&delivery)).await;
                settled.push(delivery);
            }
        }
        drop(member);
        if group.pending().await.is_empty() {
            return (settled, crashes);
        }
        s.lapse();
    }
    panic!(
        "what kills its consumers is given up after {MAX_CRASHES} of them at the latest; still \
         owed: {:?}",
        group.pending().await
    );
}

/// Asserts that exactly these were given up as poison.
async fn poisoned(group: &TestGroup, expected: &[MessageId]) {
    let dead = group.dead_letters().await;
    same_ids(
        dead.iter().map(|dead| dead.message.id),
        expected.to_vec(),
        "exactly what kills its consumers is given up",
    );
    for dead in dead {
        assert_eq!(
            (dead.reason, dead.attempts, &dead.last_error),
            (DeadReason::Poison, 0, &None),
            "as poison, after no failure: {dead:?}"
        );
    }
}

pub(crate) async fn poison_is_found(s: &Scene) {
    for (name, options) in both_orderings() {
        for stalls in [1, 3] {
            let topic = s.topic(&format!("{name} {stalls}")).await;
            let group = group_that_gives_up(&topic, stalls, options.clone()).await;
            let sent = topic.publish_all(of_key("a", 5)).await;
            let (settled, crashes) = consume(s, &group, 1, |d| d.message.id == sent[2]).await;
            poisoned(&group, &sent[2..3]).await;
            assert!(
                crashes >= stalls as usize,
                "it was given the lives that it has: {crashes}"
            );
            let others = sent.iter().copied().filter(|id| *id != sent[2]);
            same_ids(ids(&settled), others, "all others are handled, once");
            assert_eq!(group.pending().await, [], "nothing is left");
            topic.complete(&sent, "giving up settles").await;
        }
    }
}

pub(crate) async fn order_holds_around_poison(s: &Scene) {
    for (name, key) in [("the same key", "a"), ("another key", "b")] {
        // One lane, so that the poison is in the way of all of it.
        let topic = s.topic_of_lanes(name, 1).await;
        let group = group_that_gives_up(&topic, 2, ordered()).await;
        let mut sent = topic.publish_keyed(&["a", "b", "a"]).await;
        let poison = topic.publish_keyed(&[key]).await[0];
        sent.extend(topic.publish_keyed(&["a", "b", "a", "b"]).await);
        let (settled, _) = consume(s, &group, 1, |d| d.message.id == poison).await;
        poisoned(&group, &[poison]).await;
        same_ids(ids(&settled), sent, "all others are handled, once");
        in_order(&settled, "order holds around what kills its consumers");
    }
}

pub(crate) async fn a_lane_of_poison_comes_to_its_end(s: &Scene) {
    let topic = s.topic_of_lanes("orders", 1).await;
    let group = group_that_gives_up(&topic, 1, ordered()).await;
    let sent = topic.publish_keyed(&["a", "b", "a", "c", "a"]).await;
    let (settled, _) = consume(s, &group, 1, |d| d.message.key.as_deref() == Some("a")).await;
    poisoned(&group, &[sent[0], sent[2], sent[4]]).await;
    assert_eq!(
        ids(&settled),
        [sent[1], sent[3]],
        "several in a row are found one by one, and the rest is handled"
    );
}

pub(crate) async fn poison_among_many_in_hand_is_found(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic_of_lanes(name, 2).await;
        let group = group_that_gives_up(&topic, 2, options).await;
        let keys: Vec<_> = (0..24).map(|i| ["a", "b", "c", "d"][i % 4]).collect();
        let sent = topic.publish_keyed(&keys).await;
        // What lies behind it in hand is lost with it, as often; who is given up with it is left open.
        let (settled, _) = consume(s, &group, 12, |d| d.message.id == sent[5]).await;
        let dead = group.dead_letters().await;
        let dead: Vec<_> = dead.iter().map(|dead| dead.message.id).collect();
        assert!(
            dead.contains(&sent[5]),
            "what kills its consumers is given up: {dead:?}"
        );
        let all = ids(&settled).into_iter().chain(dead);
        same_ids(all, sent, "each message is handled or given up, once");
    }
}

pub(crate) async fn an_expired_lease_alone_gives_nothing_up(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let group = group_that_gives_up(&topic, 3, options).await;
        let sent = topic.publish_all(of_key("a", 2)).await;
        for _ in 0..2 {
            let member = group.member().await;
            let held = take(&*member, 2).await;
            assert!(
                held.iter().all(|delivery| delivery.attempt == 1),
                "lost consumers are no failed attempts"
            );
            drop(member);
            s.lapse();
        }
        same_ids(
            ids(&group.drain().await),
            sent,
            "fewer stalls than `max_stalls` give nothing up",
        );
        assert_eq!(group.dead_letters().await, [], "nothing at all");
    }
}

pub(crate) async fn a_slow_member_stalls_its_own_message(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let group = group_that_gives_up(&topic, 2, options).await;
        let sent = topic.publish_all(of_key("a", 1)).await;
        let member = group.member().await;
        let mut last = None;
        for _ in 0..MAX_CRASHES {
            let Some(delivery) = fetch(&*member, 1).await.pop() else {
                if group.pending().await.is_empty() {
                    break;
                }
                continue;
            };
            last = Some(delivery);
            s.advance(LEASE);
        }
        poisoned(&group, &sent).await;
        let last = last.expect("it was delivered at least once");
        refused(
            member.done(&last).await,
            STALE,
            "the receipt of its last delivery is stale",
        );
        let read = group.subscription().await.expect("it is subscribed");
        assert_eq!(read.status, SubscriptionStatus::Active, "the group goes on");
    }
}
