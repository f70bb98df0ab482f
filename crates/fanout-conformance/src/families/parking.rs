//! Messages that are set aside after a failure, so that others go on.

use std::time::Duration;

use fanout_core::{Backoff, DeadReason, MemberExt, Outcome, Settlement, SubscriptionOptions};

use crate::Harness;
use crate::stage::{
    Fixture, LEASE, STALE, Scene, TestGroup, TestTopic, both_orderings, gather, gather_one, ids,
    nothing, of_key, options, ordered, outcomes, refused, same_ids, settle_all, take,
};

/// How long a first failure waits, with [`options`].
const WAIT: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_micros(1);

/// A topic of its own for a group of each ordering.
async fn groups(s: &Scene) -> Vec<(TestTopic, TestGroup)> {
    groups_with(s, |options| options).await
}

async fn groups_with(
    s: &Scene,
    change: impl Fn(SubscriptionOptions) -> SubscriptionOptions,
) -> Vec<(TestTopic, TestGroup)> {
    let mut groups = Vec::new();
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let group = topic.group_with("billing", change(options)).await;
        groups.push((topic, group));
    }
    groups
}

pub(crate) async fn a_failed_message_lets_others_pass(s: &Scene) {
    for (topic, group) in groups(s).await {
        let sent = topic.publish_all(of_key("a", 5)).await;
        let member = group.member().await;
        let first = take(&*member, 1).await.remove(0);
        let due = s.now() + WAIT;
        assert_eq!(
            member.fail(&first, "no").await.expect("it is held"),
            Outcome::Retry { due },
            "a failed message is tried again"
        );
        let rest = take(&*member, 4).await;
        assert!(
            !ids(&rest).contains(&first.message.id),
            "what comes after it is delivered meanwhile"
        );
        settle_all(&*member, &rest).await;
        assert_eq!(
            group.pending().await,
            [first.message.id],
            "it is owed, and nothing else"
        );
        s.clock.set(due - TICK);
        nothing(&*member, "before it is due it is delivered to nobody").await;
        s.clock.set(due);
        let again = take(&*member, 1).await.remove(0);
        assert_eq!(
            (&again.message, again.attempt, again.until),
            (&first.message, 2, due + LEASE),
            "then it is delivered again, as the next attempt, with a lease of its own"
        );
        settle_all(&*member, &[again]).await;
        assert_eq!(group.pending().await, [], "all are settled");
        topic.complete(&sent, "all are settled").await;
    }
}

pub(crate) async fn a_message_set_aside_has_no_place_any_more(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", ordered()).await;
    let sent = topic.publish_all(of_key("a", 4)).await;
    let member = group.member().await;
    let first = take(&*member, 1).await.remove(0);
    member.fail(&first, "no").await.expect("it is held");
    let held = take(&*member, 2).await;
    assert_eq!(ids(&held), sent[1..3], "the key goes on in order");
    s.advance(WAIT);
    let again = take(&*member, 2).await;
    same_ids(
        ids(&again),
        [sent[0], sent[3]],
        "it comes back beside those that were behind it",
    );
    settle_all(&*member, &held).await;
    for delivery in again.iter().rev() {
        let settled = member.done(delivery).await;
        settled.expect("it waits for none of its key, and none waits for it");
    }
}

pub(crate) async fn any_member_gets_a_message_set_aside(s: &Scene) {
    for (topic, group) in groups(s).await {
        topic.publish_all(of_key("a", 2)).await;
        let one = group.member().await;
        let held = take(&*one, 2).await;
        one.fail(&held[0], "no").await.expect("it is held");
        one.fail(&held[1], "no").await.expect("it is set aside");
        drop(one);
        s.advance(WAIT);
        let two = group.member().await;
        let again = take(&*two, 2).await;
        same_ids(
            ids(&again),
            ids(&held),
            "messages that were set aside belong to no member, not even to one that is lost",
        );
        settle_all(&*two, &again).await;
    }
}

pub(crate) async fn failures_add_up_to_a_dead_letter(s: &Scene) {
    let with_attempts = |options| SubscriptionOptions {
        max_attempts: 3,
        backoff: Backoff::default()
            .with_jitter(0.0)
            .with_initial(Duration::from_secs(2))
            .with_multiplier(3.0),
        ..options
    };
    for (topic, group) in groups_with(s, with_attempts).await {
        topic.publish_all(of_key("a", 2)).await;
        let member = group.member().await;
        for (attempt, wait) in [(1, 2), (2, 6)] {
            let delivery = take(&*member, 1).await.remove(0);
            assert_eq!(delivery.attempt, attempt, "an attempt is 1 + the failures");
            let due = s.now() + Duration::from_secs(wait);
            assert_eq!(
                member.fail(&delivery, "no").await.expect("it is held"),
                Outcome::Retry { due },
                "waits grow as the backoff says"
            );
            if attempt == 1 {
                let other = take(&*member, 1).await;
                settle_all(&*member, &other).await;
            }
            s.clock.set(due);
        }
        let last = take(&*member, 1).await.remove(0);
        let outcome = member.fail(&last, "the last").await.expect("it is held");
        assert_eq!(outcome, Outcome::DeadLettered, "the last attempt gives up");
        let dead = group.dead_letters().await;
        assert_eq!(dead.len(), 1, "there is one dead letter: {dead:?}");
        assert_eq!(
            (&dead[0].message, dead[0].attempts, dead[0].reason),
            (&last.message, 3, DeadReason::AttemptsExhausted),
            "with the message and its attempts"
        );
        assert_eq!(dead[0].last_error.as_deref(), Some("the last"), "and why");
        assert_eq!(group.pending().await, [], "it is settled");
        s.advance(LEASE * 10);
        nothing(&*member, "and never delivered again").await;
    }
}

pub(crate) async fn its_receipt_serves_as_any_other(s: &Scene) {
    for (topic, group) in groups(s).await {
        topic.publish_all(of_key("a", 1)).await;
        let member = group.member().await;
        let first = take(&*member, 1).await.remove(0);
        member.fail(&first, "no").await.expect("it is held");
        s.advance(WAIT);
        let promise = "a receipt of before the failure is stale";
        refused(member.done(&first).await, STALE, promise);
        let second = take(&*member, 1).await.remove(0);
        refused(member.done(&first).await, STALE, promise);
        member.release(&second).await.expect("it can be released");
        let third = take(&*member, 1).await.remove(0);
        assert_eq!(third.attempt, 2, "releasing is no failed attempt");
        let until = s.now() + LEASE * 3;
        let extended = member.extend(&[third.receipt], LEASE * 3).await;
        assert_eq!(
            extended.expect("it can be extended"),
            [fanout_core::Extension::Extended { until }],
            "as asked"
        );
        s.clock.set(until - TICK);
        nothing(&*member, "an extended lease holds").await;
        s.clock.set(until);
        let fourth = take(&*member, 1).await.remove(0);
        let late = [
            Settlement::done(third.receipt),
            Settlement::skip(fourth.receipt),
        ];
        assert_eq!(
            outcomes(&*member, &late).await,
            [Outcome::Stale, Outcome::Applied],
            "of two deliveries the later counts"
        );
        assert_eq!(group.pending().await, [], "it is settled");
    }
}

pub(crate) async fn a_member_that_leaves_gives_it_back(s: &Scene) {
    for (topic, group) in groups(s).await {
        topic.publish_all(of_key("a", 3)).await;
        let one = group.member().await;
        let held = take(&*one, 3).await;
        one.fail(&held[0], "no").await.expect("it is held");
        s.advance(WAIT);
        let again = take(&*one, 1).await;
        assert_eq!(again[0].message, held[0].message, "it is due");
        let two = group.member().await;
        nothing(&*two, "what is in hand goes to nobody else").await;
        one.leave().await.expect("a member can leave");
        let rest = take(&*two, 3).await;
        same_ids(
            ids(&rest),
            ids(&held),
            "what was set aside is given back with the rest",
        );
        settle_all(&*two, &rest).await;
    }
}

pub(crate) async fn a_whole_batch_may_be_set_aside(s: &Scene) {
    for (topic, group) in groups(s).await {
        let keys: Vec<_> = (0..60).map(|i| ["a", "b", "c"][i % 3]).collect();
        let sent = topic.publish_keyed(&keys).await;
        let member = group.member().await;
        let held = take(&*member, 60).await;
        let failures: Vec<_> = held
            .iter()
            .map(|delivery| Settlement::fail(delivery.receipt, "no"))
            .collect();
        let due = s.now() + WAIT;
        assert_eq!(
            outcomes(&*member, &failures).await,
            [Outcome::Retry { due }; 60],
            "each of them is tried again"
        );
        assert_eq!(group.pending().await, sent, "all are owed");
        assert_eq!(group.stats().await.delayed, 60, "and none is due");
        let more = topic.publish_keyed(&keys).await;
        let fresh = take(&*member, 60).await;
        same_ids(ids(&fresh), more, "what is published then is delivered");
        settle_all(&*member, &fresh).await;
        s.clock.set(due);
        let again = gather(&[member, group.member().await], 60).await;
        same_ids(ids(&again.concat()), sent, "then all are due");
        settle_all(&*group.member().await, &again.concat()).await;
        assert_eq!(group.pending().await, [], "and are settled");
    }
}

pub(crate) async fn what_is_set_aside_is_counted(s: &Scene) {
    for (topic, group) in groups(s).await {
        topic.publish_all(of_key("a", 3)).await;
        let member = group.member().await;
        let held = take(&*member, 3).await;
        let figures = async |promise: &str, expected: [u64; 3]| {
            let stats = group.stats().await;
            let got = [stats.pending, stats.in_flight, stats.delayed];
            assert_eq!(got, expected, "{promise}: pending, in flight, delayed");
            let lowest = group.pending().await.first().copied();
            assert_eq!(stats.lowest_unsettled, lowest, "{promise}");
        };
        member.fail(&held[0], "no").await.expect("it is held");
        figures("one waits", [3, 2, 1]).await;
        settle_all(&*member, &held[1..]).await;
        figures("it alone is owed", [1, 0, 1]).await;
        assert_eq!(
            group.stats().await.lowest_unsettled,
            Some(held[0].message.id),
            "and holds the group back"
        );
        s.advance(WAIT);
        figures("it is due", [1, 0, 0]).await;
        let again = take(&*member, 1).await;
        figures("it is in hand", [1, 1, 0]).await;
        settle_all(&*member, &again).await;
        figures("it is settled", [0, 0, 0]).await;
    }
}

pub(crate) async fn pausing_and_cancelling_concern_it_too(s: &Scene) {
    for (topic, group) in groups(s).await {
        topic.publish_all(of_key("a", 2)).await;
        let member = group.member().await;
        let held = take(&*member, 2).await;
        member.fail(&held[0], "no").await.expect("it is held");
        member.fail(&held[1], "no").await.expect("it is held");
        group.pause().await.expect("a live group can be paused");
        s.advance(WAIT);
        nothing(&*member, "a paused group gets nothing that is due").await;
        group.resume().await.expect("a paused group can be resumed");
        let again = take(&*member, 1).await;
        group.cancel().await.expect("a group can be cancelled");
        assert_eq!(group.pending().await, [], "a cancelled one owes nothing");
        let late = [Settlement::done(again[0].receipt)];
        assert_eq!(
            outcomes(&*member, &late).await,
            [Outcome::Stale],
            "and its receipts are stale"
        );
        s.maintain_until_idle().await;
        let anew = group.subscribe(options()).await;
        anew.expect("a cancelled group may subscribe again");
        s.advance(LEASE * 10);
        group.nothing("nothing of it is left").await;
    }
}

pub(crate) async fn it_can_be_settled_in_a_transaction<H: Harness>(f: &Fixture<H>) {
    for (topic, group) in groups(f).await {
        topic.publish_all(of_key("a", 3)).await;
        let member = group.member().await;
        let held = take(&*member, 3).await;
        member.fail(&held[0], "no").await.expect("it is held");
        f.advance(WAIT);
        let again = take(&*member, 1).await;
        let all = [again, held[1..].to_vec()].concat();
        let mut tx = f.begin().await;
        f.settle_in(&mut tx, &all)
            .await
            .expect("it is settled in one call with others");
        tx.rollback().await.expect("it can be undone");
        assert_eq!(group.pending().await.len(), 3, "all are owed");
        let mut tx = f.begin().await;
        f.settle_in(&mut tx, &all).await.expect("they are held");
        tx.commit().await.expect("it can be committed");
        assert_eq!(group.pending().await, [], "the commit settles");
        f.maintain_until_idle().await;
        f.advance(LEASE * 10);
        group.nothing("for good").await;
    }
}

pub(crate) async fn what_is_set_aside_may_be_lost_and_found(s: &Scene) {
    for (topic, group) in groups(s).await {
        topic.publish_all(of_key("a", 1)).await;
        let member = group.member().await;
        let first = take(&*member, 1).await.remove(0);
        member.fail(&first, "no").await.expect("it is held");
        s.advance(WAIT);
        let second = take(&*member, 1).await.remove(0);
        drop(member);
        let members = group.members(2).await;
        s.clock.set(second.until - TICK);
        for member in &members {
            nothing(&**member, "what is in hand stays leased").await;
        }
        s.clock.set(second.until);
        let third = gather_one(&members).await;
        assert_eq!(
            (&third.message, third.attempt),
            (&first.message, 2),
            "and is delivered again at the end of its lease; a crash is no failed attempt"
        );
        settle_all(&*members[0], &[third]).await;
        assert_eq!(group.pending().await, [], "it is settled");
    }
}
