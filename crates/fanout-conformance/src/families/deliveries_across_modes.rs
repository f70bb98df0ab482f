//! What is delivered and in hand when a topic's mode changes.

use std::time::Duration;

use fanout_core::{CompletionMode, Outcome, ReceiptForm, Settlement};

use super::mode_changes::{in_order_if_asked, with_both_kinds};
use crate::Harness;
use crate::stage::{
    Fixture, LEASE, Scene, blocking, both_orderings, fetch, ids, in_order, of_key, ordered,
    outcomes, same_ids, settle_all, take,
};

pub(crate) async fn the_backlog_stays_and_new_messages_follow(s: &Scene) {
    let (topic, groups) = with_both_kinds(s).await;
    let other = s.mode.other();
    let before = topic.publish_keyed(&["a", "b", "a"]).await;
    topic.migrate(other).await;
    let after = topic.publish_keyed(&["b", "a"]).await;
    let all: Vec<_> = before.iter().chain(&after).copied().collect();
    let tracked = match other {
        CompletionMode::OffsetWatermark => &before,
        CompletionMode::ReferenceCounting => &after,
    };
    let recorded: Vec<_> = topic.accounting().await.into_keys().collect();
    assert_eq!(
        recorded, *tracked,
        "each message keeps the accounting that it was published with"
    );
    for group in &groups {
        assert_eq!(group.pending().await, all, "every group owes all of both");
    }
    for group in &groups {
        let drained = group.drain().await;
        same_ids(ids(&drained), all.clone(), "and gets each once");
        in_order_if_asked(group, &drained);
        let stats = group.stats().await;
        assert_eq!((stats.pending, stats.in_flight), (0, 0), "and settles it");
    }
    s.maintain_until_idle().await;
    s.advance(LEASE * 10);
    for group in &groups {
        group.nothing("nothing is delivered again").await;
    }
}

pub(crate) async fn receipts_of_both_forms_stay_valid(s: &Scene) {
    let (topic, groups) = with_both_kinds(s).await;
    topic.publish_all(of_key("a", 4)).await;
    for group in &groups {
        let member = group.member().await;
        let mut held = take(&*member, 4).await;
        held.sort_by_key(|delivery| delivery.message.id);
        topic.migrate(topic.mode().await.other()).await;
        settle_all(&*member, &held[..1]).await;
        topic.migrate(topic.mode().await.other()).await;
        let extended = member.extend(&[held[1].receipt], LEASE * 2).await;
        assert!(
            matches!(
                extended.expect("what is held can be extended")[..],
                [fanout_core::Extension::Extended { .. }]
            ),
            "a lease is extended after a change"
        );
        settle_all(&*member, &held[1..2]).await;
        topic.migrate(topic.mode().await.other()).await;
        let failed = [Settlement::fail(held[2].receipt, "no")];
        assert!(
            matches!(
                outcomes(&*member, &failed).await[..],
                [Outcome::Retry { .. }]
            ),
            "a failure counts after a change"
        );
        let released = [Settlement::release(held[3].receipt)];
        assert_eq!(
            outcomes(&*member, &released).await,
            [Outcome::Applied],
            "and so does a release"
        );
        s.advance(Duration::from_secs(60));
        let rest = take(&*member, 2).await;
        let mut attempts: Vec<_> = rest.iter().map(|d| (d.message.id, d.attempt)).collect();
        attempts.sort_unstable();
        assert_eq!(
            attempts,
            [(held[2].message.id, 2), (held[3].message.id, 1)],
            "what failed and what was released come again"
        );
        let mut rest = rest;
        rest.sort_by_key(|delivery| delivery.message.id);
        settle_all(&*member, &rest).await;
        let again: Vec<_> = held.iter().map(|d| Settlement::done(d.receipt)).collect();
        assert_eq!(
            outcomes(&*member, &again).await,
            [Outcome::Stale; 4],
            "a settled message cannot be settled again"
        );
        member.leave().await.expect("a member can leave");
        assert_eq!(group.pending().await, [], "all is settled");
    }
}

pub(crate) async fn an_expired_lease_is_one_after_a_change(s: &Scene) {
    let (topic, groups) = with_both_kinds(s).await;
    let sent = topic.publish_all(of_key("a", 2)).await;
    for group in &groups {
        let lost = group.member().await;
        let held = take(&*lost, 2).await;
        topic.migrate(topic.mode().await.other()).await;
        s.lapse();
        let drained = group.drain_for_good().await;
        same_ids(ids(&drained), sent.clone(), "what was in hand comes again");
        let late: Vec<_> = held.iter().map(|d| Settlement::done(d.receipt)).collect();
        assert_eq!(
            outcomes(&*lost, &late).await,
            [Outcome::Stale; 2],
            "and its former receipts are stale"
        );
    }
}

pub(crate) async fn publishers_may_hold_the_former_mode_open<H: Harness>(f: &Fixture<H>) {
    let (topic, groups) = with_both_kinds(f).await;
    let mut early = f.begin().await;
    let mut sent = f.publish_all_in(&mut early, &topic, of_key("a", 2)).await;
    let mut undone = f.begin().await;
    f.publish_in(&mut undone, &topic, 2).await;
    topic.migrate(f.mode.other()).await;
    let since = topic.publish_all(of_key("b", 2)).await;
    let mut got = Vec::new();
    for group in &groups {
        let drained = group.drain().await;
        same_ids(
            ids(&drained),
            since.clone(),
            "an open publisher holds nobody up",
        );
        got.push(drained);
    }
    // In one transaction before and after a change.
    sent.extend(f.publish_all_in(&mut early, &topic, of_key("a", 2)).await);
    let late = topic.group("late").await;
    early.commit().await.expect("it can be committed");
    undone.rollback().await.expect("it can be undone");
    let recorded: Vec<_> = topic.accounting().await.into_keys().collect();
    let (old, new) = sent.split_at(2);
    let tracked: Vec<_> = match f.mode {
        CompletionMode::ReferenceCounting => old.to_vec(),
        CompletionMode::OffsetWatermark => since.iter().chain(new).copied().collect(),
    };
    same_ids(
        recorded,
        tracked,
        "each publish follows the mode that it found",
    );
    for group in &groups {
        let drained = group.drain().await;
        same_ids(
            ids(&drained),
            sent.clone(),
            "what commits late comes when it does",
        );
        in_order_if_asked(group, &drained);
    }
    same_ids(
        ids(&late.drain().await),
        sent,
        "a group that subscribed meanwhile is owed it, too",
    );
}

pub(crate) async fn parked_messages_stay_parked(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("ordered", ordered()).await;
    let loose = topic.group("unordered").await;
    let sent = topic.publish_all(of_key("a", 2)).await;
    for group in [&group, &loose] {
        let member = group.member().await;
        let mut held = take(&*member, 2).await;
        held.sort_by_key(|delivery| delivery.message.id);
        let failed = [Settlement::fail(held[0].receipt, "no")];
        outcomes(&*member, &failed).await;
        settle_all(&*member, &held[1..]).await;
        topic.migrate(topic.mode().await.other()).await;
        assert_eq!(group.pending().await, sent[..1], "it is still owed");
        s.advance(Duration::from_secs(60));
        let again = take(&*member, 1).await;
        assert_eq!(
            (again[0].message.id, again[0].attempt),
            (sent[0], 2),
            "and comes again when it is due"
        );
        assert!(
            matches!(again[0].receipt.form(), ReceiptForm::Tracked(_)),
            "by its own row"
        );
        topic.migrate(topic.mode().await.other()).await;
        settle_all(&*member, &again).await;
        member.leave().await.expect("a member can leave");
        assert_eq!(group.pending().await, [], "then it is settled");
    }
}

pub(crate) async fn a_blocked_lane_stays_blocked(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("ordered", blocking()).await;
    let mut sent = topic.publish_all(of_key("a", 2)).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    outcomes(&*member, &[Settlement::fail(held[0].receipt, "no")]).await;
    topic.migrate(s.mode.other()).await;
    sent.extend(topic.publish_all(of_key("a", 1)).await);
    crate::stage::nothing(&*member, "its key waits for it").await;
    s.advance(Duration::from_secs(60));
    let drained = group.drain_by(&*member).await;
    assert_eq!(ids(&drained), sent, "then all come, in order");
}

pub(crate) async fn transactions_settle_across_a_change<H: Harness>(f: &Fixture<H>) {
    let (topic, groups) = with_both_kinds(f).await;
    let mut held = Vec::new();
    topic.publish_all(of_key("a", 3)).await;
    for group in &groups {
        let member = group.member().await;
        let mut taken = take(&*member, 3).await;
        taken.sort_by_key(|delivery| delivery.message.id);
        held.push((member, taken));
    }
    // Settled before the change and committed after it; then wholly after it.
    let mut open = f.begin().await;
    for (_, taken) in &held {
        let settled = f.settle_in(&mut open, &taken[..1]).await;
        settled.expect("what is held can be settled in a transaction");
    }
    topic.migrate(f.mode.other()).await;
    for (_, taken) in &held {
        let settled = f.settle_in(&mut open, &taken[1..2]).await;
        settled.expect("also after a change");
    }
    open.commit().await.expect("it can be committed");
    for ((member, taken), group) in held.iter().zip(&groups) {
        assert_eq!(
            group.pending().await,
            [taken[2].message.id],
            "what was settled is not owed"
        );
        topic.migrate(topic.mode().await.other()).await;
        settle_all(&**member, &taken[2..]).await;
    }
    f.maintain_until_idle().await;
    f.advance(LEASE * 10);
    for ((member, _), group) in held.iter().zip(&groups) {
        assert_eq!(
            ids(&group.drain_by(&**member).await),
            [],
            "and not delivered again"
        );
    }
}

pub(crate) async fn order_holds_across_changes(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("ordered", ordered()).await;
    let members = group.members(2).await;
    let mut got = Vec::new();
    let mut sent = Vec::new();
    for round in 0..12 {
        sent.extend(topic.publish_keyed(&["a", "b", "a", "c", "b"]).await);
        if round % 2 == 0 {
            topic.migrate(topic.mode().await.other()).await;
        }
        let member = &members[round % 2];
        let deliveries = fetch(&**member, 3).await;
        settle_all(&**member, &deliveries).await;
        got.extend(deliveries);
    }
    for member in &members {
        member.leave().await.expect("a member can leave");
    }
    got.extend(group.drain().await);
    same_ids(ids(&got), sent, "each comes once");
    in_order(&got, "and those of a key in order");
}

pub(crate) async fn what_is_out_of_order_stays_refused(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("ordered", ordered()).await;
    topic.publish_all(of_key("a", 1)).await;
    topic.migrate(s.mode.other()).await;
    topic.publish_all(of_key("a", 1)).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    let second = [Settlement::done(held[1].receipt)];
    assert_eq!(
        outcomes(&*member, &second).await,
        [Outcome::OutOfOrder],
        "an earlier message of its key is not settled, whatever its mode"
    );
    settle_all(&*member, &held).await;
}

pub(crate) async fn dead_letters_are_made_across(s: &Scene) {
    let (topic, _) = with_both_kinds(s).await;
    for (name, mut options) in both_orderings() {
        options.max_attempts = 2;
        let group = topic.group_with(&format!("{name} twice"), options).await;
        let sent = topic.publish(1).await;
        let member = group.member().await;
        for attempt in 1..=2 {
            let held = take(&*member, 1).await;
            assert_eq!(held[0].attempt, attempt, "failures count across changes");
            topic.migrate(topic.mode().await.other()).await;
            outcomes(&*member, &[Settlement::fail(held[0].receipt, "no")]).await;
            s.advance(Duration::from_secs(60));
        }
        assert_eq!(group.pending().await, [], "the last attempt settles it");
        let letters = group.dead_letters().await;
        assert_eq!(letters.len(), 1, "and makes a dead letter");
        assert_eq!(letters[0].message.id, sent[0]);
    }
}

pub(crate) async fn one_member_takes_a_backlog_and_what_follows(s: &Scene) {
    let (topic, groups) = with_both_kinds(s).await;
    let backlog = topic.publish(300).await;
    let mut members = Vec::new();
    for group in &groups {
        let member = group.member().await;
        // It has begun with the backlog when the mode changes.
        let first = take(&*member, 10).await;
        members.push((member, first));
    }
    topic.migrate(s.mode.other()).await;
    let new = topic.publish(20).await;
    let all = [backlog, new].concat();
    for (member, mut got) in members {
        settle_all(&*member, &got).await;
        while got.len() < all.len() {
            let more = take(&*member, 10).await;
            settle_all(&*member, &more).await;
            got.extend(more);
        }
        same_ids(ids(&got), all.clone(), "all come once");
    }
}
