//! Members that come, go and vanish, and who has what then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanout_core::{Delivery, ErrorKind, Extension, MemberExt, MessageId, Outcome, Settlement};

use crate::Harness;
use crate::stage::{
    Chance, Fixture, LEASE, STALE, Scene, TestGroup, TestTopic, both_orderings, fetch, gather, ids,
    in_order, join_all, keyed, nothing, outcomes, patient, receipts, refused, same_ids, settle_all,
    take, together,
};

const KEYS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// For each ordering a topic of its own, with a group and messages that it owes.
async fn stage(s: &Scene, n: usize) -> Vec<(TestTopic, TestGroup, Vec<MessageId>)> {
    let mut stages = Vec::new();
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let group = topic.group_with("billing", patient(options)).await;
        let keys: Vec<_> = (0..n).map(|i| KEYS[i % KEYS.len()]).collect();
        let sent = topic.publish_keyed(&keys).await;
        stages.push((topic, group, sent));
    }
    stages
}

pub(crate) async fn what_a_silent_member_held_goes_to_others(s: &Scene) {
    for (topic, group, sent) in stage(s, 24).await {
        let one = group.member().await;
        let old = take(&*one, 24).await;
        settle_all(&*one, &old[..4]).await;
        s.lapse();
        let two = group.member().await;
        let new = take(&*two, 20).await;
        same_ids(
            ids(&new),
            ids(&old[4..]),
            "whoever is silent for too long loses what it holds to others",
        );
        let verdicts: [fn(fanout_core::Receipt) -> Settlement; 4] = [
            Settlement::done,
            Settlement::skip,
            Settlement::release,
            |receipt| Settlement::fail(receipt, "no"),
        ];
        let late: Vec<_> = old[4..]
            .iter()
            .enumerate()
            .map(|(i, delivery)| verdicts[i % 4](delivery.receipt))
            .collect();
        assert_eq!(
            outcomes(&*one, &late).await,
            [Outcome::Stale; 20],
            "the former owner settles nothing, in no way"
        );
        let extended = one.extend(&receipts(&old[4..]), LEASE * 5).await;
        assert_eq!(
            extended.expect("stale is no error of the call"),
            [Extension::Stale; 20],
            "nor does it extend anything"
        );
        refused(one.done(&old[5]).await, STALE, "and is told so");
        assert_eq!(group.pending().await.len(), 20, "all are owed");
        nothing(&*one, "it gets none of them back").await;
        settle_all(&*two, &new).await;
        assert_eq!(group.pending().await, [], "the new owner settles them");
        assert_eq!(
            outcomes(&*one, &late).await,
            [Outcome::Stale; 20],
            "which stays so"
        );
        s.advance(LEASE * 10);
        group.nothing("each is settled once and for all").await;
        topic.complete(&sent, "and counted").await;
    }
}

pub(crate) async fn former_owners_settle_nothing_in_transactions<H: Harness>(f: &Fixture<H>) {
    for (_, group, _) in stage(f, 12).await {
        let one = group.member().await;
        let old = take(&*one, 12).await;
        f.lapse();
        let two = group.member().await;
        let new = take(&*two, 12).await;
        f.no_transaction_settles(
            &old,
            STALE,
            "in a transaction the former owner is refused too",
        )
        .await;
        let mut tx = f.begin().await;
        f.settle_in(&mut tx, &new).await.expect("they are held");
        tx.commit().await.expect("it can be committed");
        assert_eq!(group.pending().await, [], "the new owner settles them");
    }
}

pub(crate) async fn a_silent_member_may_come_back(s: &Scene) {
    for (topic, group, mut sent) in stage(s, 12).await {
        let one = group.member().await;
        let old = take(&*one, 12).await;
        s.lapse();
        let two = group.member().await;
        let new = take(&*two, 12).await;
        settle_all(&*two, &new).await;
        sent.extend(topic.publish_keyed(&KEYS).await);
        let members = [one, two];
        let fresh = gather(&members, 12).await;
        same_ids(
            ids(&fresh.concat()),
            sent[12..].to_vec(),
            "both take part from then on",
        );
        for (member, fresh) in members.iter().zip(&fresh) {
            settle_all(&**member, fresh).await;
        }
        let late: Vec<_> = old.iter().map(|d| Settlement::done(d.receipt)).collect();
        assert_eq!(
            outcomes(&*members[0], &late).await,
            [Outcome::Stale; 12],
            "but what was lost stays lost"
        );
    }
}

pub(crate) async fn a_crashed_members_share_is_taken_over(s: &Scene) {
    for (_, group, sent) in stage(s, 36).await {
        let mut members = group.members(3).await;
        let held = gather(&members, 36).await;
        for (member, held) in members.iter().zip(&held) {
            settle_all(&**member, &held[..held.len() / 2]).await;
        }
        let left: Vec<_> = held
            .iter()
            .map(|held| held[held.len() / 2..].to_vec())
            .collect();
        drop(members.split_off(1));
        s.advance(LEASE / 2);
        settle_all(&*members[0], &left[0]).await;
        s.lapse();
        let again = take(&*members[0], left[1].len() + left[2].len()).await;
        same_ids(
            ids(&again),
            ids(&left[1..].concat()),
            "whoever is left takes over what others held, unsettled",
        );
        in_order_if(&group, &again).await;
        settle_all(&*members[0], &again).await;
        assert_eq!(group.pending().await, [], "and settles all of it");
        assert_eq!(sent.len(), 36, "of all that was sent");
    }
}

async fn in_order_if(group: &TestGroup, deliveries: &[Delivery]) {
    let options = group
        .subscription()
        .await
        .expect("it is subscribed")
        .options;
    if options.ordering == fanout_core::Ordering::PerKey {
        in_order(deliveries, "in order per key");
    }
}

pub(crate) async fn a_leaving_members_share_goes_on_at_once(s: &Scene) {
    for (topic, group, _) in stage(s, 24).await {
        let members = group.members(4).await;
        let held = gather(&members, 24).await;
        let late: Vec<_> = held[0]
            .iter()
            .map(|delivery| Settlement::done(delivery.receipt))
            .collect();
        members[0].leave().await.expect("a member can leave");
        let again = gather(&members[1..], held[0].len()).await;
        same_ids(
            ids(&again.concat()),
            ids(&held[0]),
            "what a leaving member held goes to the others, without a wait",
        );
        assert!(
            outcomes(&*members[1], &late)
                .await
                .iter()
                .all(|outcome| *outcome == Outcome::Stale),
            "its receipts are stale"
        );
        for ((member, held), again) in members[1..].iter().zip(&held[1..]).zip(&again) {
            settle_all(&**member, held).await;
            settle_all(&**member, again).await;
        }
        let more = topic.publish_keyed(&KEYS).await;
        let fresh = gather(&members[1..], 12).await.concat();
        same_ids(ids(&fresh), more, "and so does what comes then");
    }
}

pub(crate) async fn more_members_than_lanes(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic_of_lanes(name, 2).await;
        let group = topic.group_with("billing", options).await;
        let members = group.members(7).await;
        for _ in 0..3 {
            let sent = topic.publish_keyed(&KEYS).await;
            let held = gather(&members, 12).await;
            same_ids(
                ids(&held.concat()),
                sent,
                "members without a lane are no obstacle",
            );
            for (member, held) in members.iter().zip(&held) {
                settle_all(&**member, held).await;
            }
        }
        // Whoever has lanes now leaves, until the last has them all.
        for (i, member) in members.iter().enumerate() {
            let sent = topic.publish_keyed(&KEYS).await;
            let held = gather(&members[i..], 12).await;
            same_ids(ids(&held.concat()), sent, "nor is who leaves");
            for (member, held) in members[i..].iter().zip(&held) {
                settle_all(&**member, held).await;
            }
            member.leave().await.expect("a member can leave");
        }
        assert_eq!(group.pending().await, [], "all are settled");
    }
}

pub(crate) async fn any_number_of_lanes(s: &Scene) {
    for lanes in [1, 3, 64] {
        for (name, options) in both_orderings() {
            let topic = s.topic_of_lanes(&format!("{name} {lanes}"), lanes).await;
            let group = topic.group_with("billing", options).await;
            let mut sent = topic.publish(70).await;
            sent.extend(topic.publish_all(keyed(&KEYS)).await);
            let member = group.member().await;
            let held = take(&*member, 82).await;
            same_ids(ids(&held), sent, "one member serves all lanes");
            settle_all(&*member, &held).await;
            let more = topic.publish(70).await;
            let members = [member, group.member().await, group.member().await];
            let held = gather(&members, 70).await;
            same_ids(ids(&held.concat()), more, "and several share them");
            settle_all(&*members[1], &held.concat()).await;
        }
    }
}

pub(crate) async fn settling_while_others_join(s: &Scene) {
    for (topic, group, sent) in stage(s, 48).await {
        let mut members = vec![group.member().await];
        let mut settled = Vec::new();
        let mut held = take(&*members[0], 48).await;
        while !held.is_empty() {
            members.push(group.member().await);
            // Newcomers ask for their share, while the first is still busy.
            for member in &members[1..] {
                let early = fetch(&**member, 2).await;
                assert!(
                    early.is_empty(),
                    "what is in hand goes to no newcomer: {:?}",
                    ids(&early)
                );
            }
            let few: Vec<_> = held.drain(..6).collect();
            settle_all(&*members[0], &few).await;
            settled.extend(few);
        }
        same_ids(
            ids(&settled),
            sent,
            "members that join make no receipt of others stale",
        );
        let more = topic.publish_keyed(&KEYS).await;
        let fresh = gather(&members, 12).await;
        same_ids(ids(&fresh.concat()), more, "and then have their share");
        for (member, fresh) in members.iter().zip(&fresh) {
            settle_all(&**member, fresh).await;
        }
    }
}

/// Everything that happened to a group's messages.
#[derive(Debug, Default)]
struct Log {
    settled: Vec<MessageId>,
    delivered: Vec<(usize, Delivery)>,
}

/// How a worker treats what it gets.
#[derive(Clone, Copy, Debug)]
struct Habits {
    /// Of 100 deliveries, those at which it vanishes, leaves, fails and releases.
    crashes: u64,
    leaves: u64,
    failures: u64,
    releases: u64,
}

/// Works until everything has been published and nothing is owed.
async fn work(
    s: Scene,
    group: TestGroup,
    number: usize,
    publishing: Arc<AtomicUsize>,
    time: Arc<AtomicUsize>,
    habits: Habits,
) -> Log {
    let mut chance = Chance::new(number);
    let mut log = Log::default();
    let mut member = group.member().await;
    loop {
        let over = publishing.load(Ordering::SeqCst) == 0;
        let deliveries = fetch(&*member, 6).await;
        let at = time.fetch_add(1, Ordering::SeqCst);
        log.delivered
            .extend(deliveries.iter().map(|delivery| (at, delivery.clone())));
        if deliveries.is_empty() {
            if over && group.pending().await.is_empty() {
                return log;
            }
            if over {
                // What vanished members held, and what failed, has to be waited for.
                s.advance(LEASE / 16);
            }
        }
        for delivery in deliveries {
            let roll = chance.below(100);
            let Habits {
                crashes,
                leaves,
                failures,
                releases,
            } = habits;
            let result = if roll < crashes {
                member = group.member().await;
                break;
            } else if roll < crashes + leaves {
                member.leave().await.expect("a member can leave");
                member = group.member().await;
                break;
            } else if roll < crashes + leaves + failures {
                member.fail(&delivery, "no").await.map(drop)
            } else if roll < crashes + leaves + failures + releases {
                member.release(&delivery).await
            } else {
                let done = member.done(&delivery).await;
                if done.is_ok() {
                    log.settled.push(delivery.message.id);
                }
                done
            };
            if let Err(error) = result {
                assert!(
                    STALE.contains(&error.kind()) || error.kind() == ErrorKind::OutOfOrder,
                    "who is late or early is refused, and nothing else goes wrong: {error}"
                );
            }
        }
    }
}

/// Publishes keys of its own, one batch after the other.
async fn publish(topic: TestTopic, number: usize, publishing: Arc<AtomicUsize>) -> Vec<MessageId> {
    let mut sent = Vec::new();
    for round in 0..12 {
        let keys = [
            format!("{number} {}", round % 3),
            format!("{number} {}", round % 2),
            format!("{number} 0"),
        ];
        let keys = [&*keys[0], &*keys[1], &*keys[2]];
        sent.extend(topic.publish_keyed(&keys).await);
    }
    publishing.fetch_sub(1, Ordering::SeqCst);
    sent
}

/// Publishers and unreliable workers of a group; asserts that each message was settled once, and in
/// an ordered group first delivered in order.
async fn under_load(
    s: &Scene,
    options: fanout_core::SubscriptionOptions,
    name: &str,
    habits: Habits,
) {
    const PUBLISHERS: usize = 3;
    const WORKERS: usize = 8;
    let topic = s.topic(name).await;
    let ordered = options.ordering == fanout_core::Ordering::PerKey;
    let group = topic.group_with("billing", patient(options)).await;
    let publishing = Arc::new(AtomicUsize::new(PUBLISHERS));
    let time = Arc::new(AtomicUsize::new(0));
    let publishers = (0..PUBLISHERS)
        .map(|i| tokio::spawn(publish(topic.clone(), i, publishing.clone())))
        .collect();
    let logs = together(WORKERS, |i| {
        let (publishing, time) = (publishing.clone(), time.clone());
        work(s.clone(), group.clone(), i, publishing, time, habits)
    })
    .await;
    let sent = join_all(publishers).await.concat();
    let settled = logs.iter().flat_map(|log| log.settled.clone());
    same_ids(
        settled,
        sent.clone(),
        "each message is effectively settled once, whoever comes and goes",
    );
    assert_eq!(group.dead_letters().await, [], "and none is given up");
    topic.complete(&sent, "and all are complete").await;
    if ordered {
        let mut all: Vec<_> = logs.into_iter().flat_map(|log| log.delivered).collect();
        // Stable, so that a batch stays in its order.
        all.sort_by_key(|(at, _)| *at);
        let mut seen = std::collections::BTreeSet::new();
        let first: Vec<_> = all
            .into_iter()
            .map(|(_, delivery)| delivery)
            .filter(|delivery| seen.insert(delivery.message.id))
            .collect();
        in_order(&first, "messages of a key are first delivered in order");
    }
}

pub(crate) async fn f3_members_join_and_leave_under_load(s: &Scene) {
    for (name, options) in both_orderings() {
        let habits = Habits {
            crashes: 0,
            leaves: 15,
            failures: 0,
            releases: 5,
        };
        under_load(s, options, name, habits).await;
    }
}

pub(crate) async fn f3_members_vanish_under_load(s: &Scene) {
    for (name, options) in both_orderings() {
        let habits = Habits {
            crashes: 8,
            leaves: 5,
            failures: 5,
            releases: 5,
        };
        under_load(s, options, name, habits).await;
    }
}

pub(crate) async fn f2_order_holds_with_failures_under_load(s: &Scene) {
    for (name, options) in [
        ("park", crate::stage::ordered()),
        ("block", crate::stage::blocking()),
    ] {
        let habits = Habits {
            crashes: 3,
            leaves: 3,
            failures: 15,
            releases: 5,
        };
        under_load(s, options, name, habits).await;
    }
}
