//! Subscribing, for the first time and again.

use std::time::Duration;

use fanout_core::{
    Backoff, ErrorKind, MAX_LEASE, MemberExt, OnFailure, Ordering, Outcome, Settlement,
    StartPosition, SubscriptionOptions, SubscriptionStatus,
};

use crate::stage::{
    LEASE, Scene, gather_one, ids, nothing, options, ordered, outcomes, refused, same_ids,
    settle_all, take, together,
};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn subscribing_makes_an_active_subscription(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.at("billing");
    let made = group.subscribe(options()).await;
    let made = made.expect("a group can be subscribed");
    assert_eq!(
        (&made.topic, &made.group, made.status, made.start),
        (
            topic.name(),
            group.name(),
            SubscriptionStatus::Active,
            StartPosition::FromNow
        ),
        "a new subscription is active and says what it is of"
    );
    assert_eq!(made.options, options(), "it has the options asked for");
    assert_eq!(
        (
            made.subscribed_at,
            made.status_changed_at,
            made.last_heartbeat_at
        ),
        (s.now(), s.now(), s.now()),
        "it is dated by the engine's clock"
    );
    let read = group.subscription().await;
    assert_eq!(
        read.expect("it can be read"),
        made,
        "it reads as it was made"
    );
    let listed = s.backend.subscriptions(topic.name()).await;
    assert_eq!(listed.expect("they can be listed"), [made], "and is listed");
}

pub(crate) async fn every_option_round_trips(s: &Scene) {
    let topic = s.topic("orders").await;
    let unusual = SubscriptionOptions {
        ordering: Ordering::Unordered,
        on_failure: OnFailure::Park,
        lease: Duration::from_micros(1_000_001),
        max_attempts: 7,
        max_stalls: 9,
        backoff: Backoff::default()
            .with_initial(Duration::from_micros(1_500_003))
            .with_max(Duration::from_secs(7777))
            .with_multiplier(1.75)
            .with_jitter(0.625),
        heartbeat_interval: Duration::from_millis(11_500),
        heartbeat_timeout: Duration::from_micros(100_000_007),
    };
    let extreme = SubscriptionOptions {
        lease: MAX_LEASE,
        max_attempts: i32::MAX.unsigned_abs(),
        max_stalls: i32::MAX.unsigned_abs(),
        backoff: Backoff::default()
            .with_initial(Duration::ZERO)
            .with_max(Backoff::MAX_DELAY)
            .with_multiplier(1e300)
            .with_jitter(1.0),
        heartbeat_interval: Duration::from_micros(1),
        heartbeat_timeout: Duration::from_secs(365 * 86_400),
        ..options()
    };
    let of_order = |ordering, on_failure| SubscriptionOptions {
        ordering,
        on_failure,
        ..unusual.clone()
    };
    for (name, wanted) in [
        ("default", SubscriptionOptions::default()),
        ("ordered", of_order(Ordering::PerKey, OnFailure::Park)),
        ("blocking", of_order(Ordering::PerKey, OnFailure::Block)),
        ("unusual", unusual),
        ("extreme", extreme),
    ] {
        let group = topic.at(name);
        let made = group.subscribe(wanted.clone()).await;
        let made = made.expect("options that pass the check are accepted");
        assert_eq!(made.options, wanted, "subscribing returns the options");
        let read = group.subscription().await.expect("it can be read");
        assert_eq!(read.options, wanted, "every option is kept");
    }
}

pub(crate) async fn invalid_options_are_refused(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.at("billing");
    let bad = [
        SubscriptionOptions {
            lease: Duration::ZERO,
            ..options()
        },
        SubscriptionOptions {
            lease: MAX_LEASE + SECOND,
            ..options()
        },
        SubscriptionOptions {
            max_attempts: 0,
            ..options()
        },
        SubscriptionOptions {
            max_stalls: 0,
            ..options()
        },
        SubscriptionOptions {
            max_stalls: u32::MAX,
            ..options()
        },
        SubscriptionOptions {
            on_failure: OnFailure::Block,
            ..options()
        },
        SubscriptionOptions {
            heartbeat_timeout: options().heartbeat_interval,
            ..options()
        },
        SubscriptionOptions {
            backoff: Backoff::default().with_jitter(2.0),
            ..options()
        },
    ];
    for wanted in &bad {
        refused(
            group.subscribe(wanted.clone()).await,
            &[ErrorKind::InvalidInput],
            &format!("options that make no sense are refused: {wanted:?}"),
        );
    }
    refused(
        group.subscription().await,
        &[ErrorKind::SubscriptionNotFound],
        "a refused subscribe makes no subscription",
    );
    let made = group.subscribe(options()).await.expect("good options");
    for wanted in bad {
        let again = group.subscribe(wanted).await;
        refused(
            again,
            &[ErrorKind::InvalidInput],
            "also of a live subscription",
        );
    }
    let read = group.subscription().await.expect("it can be read");
    assert_eq!(read, made, "a refused subscribe changes nothing");
}

pub(crate) async fn subscribing_after_a_cancellation_starts_anew(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let old = group.subscription().await.expect("it is subscribed");
    let before = topic.publish(3).await;
    let old_member = group.member().await;
    let held = take(&*old_member, 2).await;
    let cancelled = group.cancel().await.expect("a group can be cancelled");
    let between = topic.publish(1).await;
    s.advance(SECOND);
    let new = group.subscribe(options()).await;
    let new = new.expect("a cancelled group may subscribe again");
    assert!(
        new.id != old.id && new.group_index != old.group_index,
        "it is another subscription, with another bit: {old:?} {new:?}"
    );
    assert_eq!(
        (new.status, new.subscribed_at),
        (SubscriptionStatus::Active, s.now()),
        "that begins now"
    );
    assert_eq!(group.pending().await, [], "it owes nothing of before");
    let member = group.member().await;
    nothing(&*member, "and is delivered nothing of before").await;
    let after = topic.publish(2).await;
    if s.tracks() {
        for id in before.iter().chain(&between) {
            let required = topic.record(*id).await.required;
            assert!(
                !required.contains(group.name()),
                "it is not required for what was published before it: {required:?}"
            );
        }
    }
    match member.settle(&[Settlement::done(held[0].receipt)]).await {
        Ok(outcomes) => assert!(
            !outcomes[0].is_effective(),
            "receipts of the old subscription are of no use to the new one: {outcomes:?}"
        ),
        Err(error) => assert_eq!(
            error.kind(),
            ErrorKind::ForeignReceipt,
            "receipts of the old subscription are of no use to the new one: {error}"
        ),
    }
    refused(
        old_member.fetch(10).await,
        &[ErrorKind::SubscriptionEnded],
        "members of the old subscription have no part in the new one",
    );
    let late = [Settlement::done(held[1].receipt)];
    assert_eq!(
        outcomes(&*old_member, &late).await,
        [Outcome::Stale],
        "nor have its receipts"
    );
    same_ids(
        ids(&group.drain_by(&*member).await),
        after,
        "the new subscription is delivered what is published after it",
    );
    let listed = s.backend.subscriptions(topic.name()).await;
    let listed = listed.expect("subscriptions can be listed");
    assert_eq!(listed, [cancelled, new], "both are listed, by age");
}

pub(crate) async fn subscriptions_are_listed_by_group_and_age(s: &Scene) {
    let topic = s.topic("orders").await;
    let mut expected = Vec::new();
    for name in ["b", "a", "B"] {
        let group = topic.at(name);
        for _ in 0..2 {
            let made = group.subscribe(options()).await.expect("it may subscribe");
            group.cancel().await.expect("it can be cancelled");
            expected.push((name, made.id));
        }
        let made = group.subscribe(options()).await.expect("it may subscribe");
        expected.push((name, made.id));
    }
    expected.sort_by_key(|(name, _)| *name);
    let listed = s.backend.subscriptions(topic.name()).await;
    let listed = listed.expect("subscriptions can be listed");
    let listed: Vec<_> = listed.iter().map(|s| (s.group.as_str(), s.id)).collect();
    assert_eq!(
        listed, expected,
        "all are listed, cancelled ones too, by group and age"
    );
    for name in ["b", "a", "B"] {
        let read = topic.at(name).subscription().await;
        let read = read.expect("it is subscribed");
        let latest = expected.iter().rfind(|(group, _)| *group == name);
        assert_eq!(
            Some(read.id),
            latest.map(|(_, id)| *id),
            "a group's latest subscription is the one that is read"
        );
    }
}

pub(crate) async fn subscribing_again_moves_nothing(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let made = group.subscription().await.expect("it is subscribed");
    let sent = topic.publish(4).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    settle_all(&*member, &held[..1]).await;
    s.advance(SECOND);
    let before = group.stats().await;
    let again = group.subscribe(options()).await;
    let again = again.expect("a live group may subscribe again");
    assert_eq!(
        (
            again.id,
            again.group_index,
            again.subscribed_at,
            again.start
        ),
        (made.id, made.group_index, made.subscribed_at, made.start),
        "it is the same subscription"
    );
    assert_eq!(
        (again.status, again.status_changed_at),
        (SubscriptionStatus::Active, made.status_changed_at),
        "in the same status"
    );
    assert_eq!(group.stats().await, before, "what it owes stays");
    settle_all(&*member, &held[1..]).await;
    let settled = ids(&held);
    let rest = sent.into_iter().filter(|id| !settled.contains(id));
    same_ids(
        ids(&take(&*member, 2).await),
        rest,
        "members and receipts go on as before",
    );
    let listed = s.backend.subscriptions(topic.name()).await;
    assert_eq!(
        listed.expect("subscriptions can be listed").len(),
        1,
        "no other subscription was made"
    );
}

pub(crate) async fn subscribing_again_applies_options(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(2).await;
    let member = group.member().await;
    let held = take(&*member, 1).await.remove(0);
    let changed = SubscriptionOptions {
        lease: LEASE * 3,
        max_attempts: 1,
        ..options()
    };
    let again = group.subscribe(changed.clone()).await;
    let again = again.expect("a live group may subscribe again");
    assert_eq!(again.options, changed, "new options are applied");
    let read = group.subscription().await.expect("it is subscribed");
    assert_eq!(read.options, changed, "and kept");
    member.heartbeat().await.expect("the group is live");
    let members = [group.member().await, member];
    assert_eq!(
        gather_one(&members).await.until,
        s.now() + LEASE * 3,
        "deliveries follow them"
    );
    assert_eq!(
        held.until,
        s.now() + LEASE,
        "a lease that was given stays as it was given"
    );
    let outcome = members[0].fail(&held, "no").await.expect("it is held");
    assert_eq!(outcome, Outcome::DeadLettered, "and so do failures");
}

pub(crate) async fn members_follow_new_options(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let member = group.member().await;
    let changed = SubscriptionOptions {
        lease: LEASE * 3,
        ..options()
    };
    group
        .subscribe(changed)
        .await
        .expect("it may subscribe again");
    member.heartbeat().await.expect("the group is live");
    topic.publish(1).await;
    assert_eq!(
        take(&*member, 1).await[0].until,
        s.now() + LEASE * 3,
        "a member follows new options from its next beat on at the latest"
    );
}

pub(crate) async fn the_ordering_of_a_live_subscription_is_fixed(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let made = group.subscription().await.expect("it is subscribed");
    let ordered = SubscriptionOptions {
        lease: LEASE * 3,
        ..ordered()
    };
    refused(
        group.subscribe(ordered).await,
        &[ErrorKind::InvalidInput],
        "the ordering of a live subscription cannot be changed",
    );
    let read = group.subscription().await.expect("it is subscribed");
    assert_eq!(read, made, "a refused subscribe changes nothing");
}

pub(crate) async fn subscribing_resumes_a_paused_group(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let paused = group.pause().await.expect("an active group can be paused");
    let sent = topic.publish(2).await;
    s.advance(SECOND);
    let resumed = group.subscribe(options()).await;
    let resumed = resumed.expect("a paused group may subscribe again");
    assert_eq!(
        (resumed.id, resumed.status, resumed.status_changed_at),
        (paused.id, SubscriptionStatus::Active, s.now()),
        "it is resumed"
    );
    same_ids(
        ids(&group.drain().await),
        sent,
        "and loses nothing of the pause",
    );
}

pub(crate) async fn groups_have_a_bit_each(s: &Scene) {
    let topic = s.topic("orders").await;
    let made = together(16, |i| {
        let group = topic.at(&format!("group {i}"));
        async move {
            let made = group.subscribe(options()).await;
            made.expect("groups may subscribe at the same time")
        }
    })
    .await;
    let mut bits: Vec<_> = made.iter().map(|made| made.group_index).collect();
    let mut numbers: Vec<_> = made.iter().map(|made| made.id).collect();
    bits.sort_unstable();
    bits.dedup();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(
        (bits.len(), numbers.len()),
        (16, 16),
        "live groups of a topic share neither bit nor subscription"
    );
    let id = topic.publish(1).await[0];
    for i in 0..16 {
        let group = topic.at(&format!("group {i}"));
        assert_eq!(group.pending().await, [id], "all of them owe a message");
    }
}
