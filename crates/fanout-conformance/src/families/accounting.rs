//! The figures: exactly what was done.

use std::time::Duration;

use fanout_core::{
    GroupStats, MemberExt, MessageId, Settlement, SubscriptionOptions, SubscriptionStatus,
};

use crate::Harness;
use crate::stage::{Fixture, LEASE, Scene, ids, options, settle_all, take};

pub(crate) async fn figures_follow_every_step(s: &Scene) {
    let topic = s.topic("orders").await;
    let options = SubscriptionOptions {
        max_attempts: 2,
        ..options()
    };
    let group = topic.group_with("billing", options).await;
    let start = s.now();
    let mut expected = GroupStats {
        group: group.name().clone(),
        status: SubscriptionStatus::Active,
        pending: 0,
        in_flight: 0,
        delayed: 0,
        lowest_unsettled: None,
        oldest_pending_at: None,
        dead_letters: 0,
        read_at: start,
    };
    let check = async |expected: &GroupStats, promise: &str| {
        let stats = group.stats().await;
        assert_eq!(&stats, expected, "{promise} (left: the figures)");
        let lowest = group.pending().await.first().copied();
        assert_eq!(stats.lowest_unsettled, lowest, "figures and list agree");
    };
    check(&expected, "a new group owes nothing").await;
    assert_eq!(expected.lag(), Duration::ZERO, "and does not lag");

    let sent = topic.publish(5).await;
    s.advance(Duration::from_secs(7));
    topic.publish(1).await;
    expected.pending = 6;
    expected.lowest_unsettled = Some(sent[0]);
    expected.oldest_pending_at = Some(start);
    expected.read_at = s.now();
    check(&expected, "published messages are owed").await;
    assert_eq!(
        group.stats().await.lag(),
        Duration::from_secs(7),
        "the lag is the age of the oldest owed message"
    );

    let member = group.member().await;
    let mut held = take(&*member, 6).await;
    held.sort_by_key(|d| d.message.id);
    expected.in_flight = 6;
    check(&expected, "messages in hand are owed and in flight").await;

    member.release(&held[5]).await.expect("it is held");
    expected.in_flight = 5;
    check(&expected, "a released message is owed but not in flight").await;

    member.fail(&held[1], "no").await.expect("it is held");
    expected.in_flight = 4;
    expected.delayed = 1;
    check(&expected, "a failed message is delayed, not in flight").await;

    member.done(&held[2]).await.expect("it is held");
    member.skip(&held[3]).await.expect("it is held");
    expected.in_flight = 2;
    expected.pending = 4;
    check(&expected, "settled messages are owed no more").await;

    member.done(&held[0]).await.expect("it is held");
    expected.in_flight = 1;
    expected.pending = 3;
    expected.lowest_unsettled = Some(sent[1]);
    check(&expected, "the lowest owed message moves on").await;

    s.advance(Duration::from_secs(1));
    expected.read_at = s.now();
    expected.delayed = 0;
    check(&expected, "a failed message that is due is not delayed").await;

    let again = take(&*member, 2).await;
    expected.in_flight = 3;
    check(&expected, "due messages can be taken").await;
    let failed = again.iter().find(|d| d.message.id == sent[1]);
    let failed = failed.expect("the failed message is due");
    member.fail(failed, "no").await.expect("it is held");
    expected.in_flight = 2;
    expected.pending = 2;
    expected.dead_letters = 1;
    expected.lowest_unsettled = Some(sent[4]);
    check(&expected, "a dead-lettered message is settled").await;

    s.advance(LEASE);
    expected.read_at = s.now();
    expected.in_flight = 0;
    check(&expected, "an expired lease is not in flight").await;

    group.pause().await.expect("an active group can be paused");
    expected.status = SubscriptionStatus::Paused;
    check(&expected, "the status is among the figures").await;
    group.resume().await.expect("a paused group can be resumed");

    group.drain_by(&*member).await;
    expected.status = SubscriptionStatus::Active;
    expected.pending = 0;
    expected.lowest_unsettled = None;
    expected.oldest_pending_at = None;
    check(&expected, "a group that settled all owes nothing").await;
}

pub(crate) async fn a_lease_counts_as_in_flight_to_its_end(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(1).await;
    let member = group.member().await;
    let until = take(&*member, 1).await[0].until;
    s.clock.set(until - Duration::from_micros(1));
    assert_eq!(group.stats().await.in_flight, 1, "the lease has not ended");
    s.clock.set(until);
    assert_eq!(group.stats().await.in_flight, 0, "the lease has ended");
}

pub(crate) async fn live_groups_are_listed_by_name(s: &Scene) {
    let topic = s.topic("orders").await;
    for name in ["b", "a", "B", "ä", "_"] {
        topic.group(name).await;
    }
    let cancelled = topic.group("cancelled").await;
    cancelled.cancel().await.expect("a group can be cancelled");
    let stats = topic.stats().await;
    let listed: Vec<_> = stats.iter().map(|stats| stats.group.as_str()).collect();
    assert_eq!(
        listed,
        ["B", "_", "a", "b", "ä"],
        "live groups are listed by the bytes of their names; cancelled ones are not"
    );
}

pub(crate) async fn what_is_owed_can_be_read_in_pages(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let sent = topic.publish(7).await;
    let page = async |after: MessageId, limit: usize| {
        let page = s.backend.pending(topic.name(), group.name(), after, limit);
        page.await.expect("what a group owes can be read")
    };
    assert_eq!(page(MessageId(0), 3).await, sent[..3], "at most `limit`");
    assert_eq!(page(sent[2], 3).await, sent[3..6], "above `after`");
    assert_eq!(page(sent[5], 100).await, sent[6..], "what is left");
    assert_eq!(page(sent[6], 100).await, [], "nothing above the last");
    assert_eq!(page(MessageId(i64::MAX), 100).await, [], "nor far above");
}

pub(crate) async fn a_committed_settlement_counts_at_once<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let (group, other) = (topic.group("billing").await, topic.group("audit").await);
    let sent = topic.publish(3).await;
    let member = group.member().await;
    let mut held = take(&*member, 3).await;
    held.sort_by_key(|d| d.message.id);
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held[..2])
        .await
        .expect("they are held");
    let stats = group.stats().await;
    assert_eq!(
        (stats.pending, stats.in_flight, stats.lowest_unsettled),
        (3, 3, Some(sent[0])),
        "what is settled in an open transaction is owed and held until the commit"
    );
    tx.commit().await.expect("it can be committed");

    let stats = group.stats().await;
    assert_eq!(
        (stats.pending, stats.in_flight, stats.lowest_unsettled),
        (1, 1, Some(sent[2])),
        "figures are exact from the commit on, whatever upkeep has still to be done"
    );
    assert_eq!(group.pending().await, sent[2..], "and so is the list");
    for id in &sent[..2] {
        topic
            .completed_by(*id, &[&group], "and so are the records")
            .await;
    }
    f.maintain_until_idle().await;
    let stats = group.stats().await;
    assert_eq!(
        (stats.pending, stats.in_flight, stats.lowest_unsettled),
        (1, 1, Some(sent[2])),
        "upkeep changes no figure"
    );
    other.drain().await;
    let promise = "settlements of either kind complete a message together";
    topic.complete(&sent[..2], promise).await;
    assert_eq!(other.pending().await, [], "{promise}");
}

pub(crate) async fn members_count_what_they_do(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(5).await;
    let member = group.member().await;
    let held = take(&*member, 5).await;
    let idle = group.member().await;
    settle_all(&*member, &held[..3]).await;
    let again: Vec<_> = held[..2]
        .iter()
        .map(|d| Settlement::done(d.receipt))
        .collect();
    let outcomes = member.settle(&again).await.expect("stale is no error");
    assert!(
        outcomes.iter().all(|outcome| !outcome.is_effective()),
        "a message is settled once"
    );
    let counters = member.counters();
    assert_eq!(
        (counters.delivered, counters.settled, counters.refused),
        (5, 3, 2),
        "a member counts its deliveries and settlements: {counters:?}"
    );
    let counters = idle.counters();
    assert_eq!(
        (counters.delivered, counters.settled, counters.refused),
        (0, 0, 0),
        "and not those of others: {counters:?}"
    );
    assert_eq!(ids(&held).len(), 5, "five messages were held");
}
