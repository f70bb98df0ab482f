//! After faults the backlog drains, and upkeep comes to an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanout_core::{MemberExt, MessageId};

use crate::Harness;
use crate::stage::{
    Chance, Fixture, LEASE, STALE, Scene, TestGroup, fetch, gather, ids, options, patient,
    same_ids, take, together,
};

pub(crate) async fn a_backlog_drains_after_all_members_crashed(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let sent = topic.publish(40).await;
    let members = group.members(4).await;
    gather(&members, 32).await;
    drop(members);
    s.lapse();
    let drained = group.drain().await;
    same_ids(
        ids(&drained),
        sent,
        "what crashed members held drains once their leases have ended, with no help",
    );
    assert!(
        drained.iter().all(|d| d.attempt == 1),
        "crashes are no failed attempts"
    );
}

/// Consumes until nothing is owed, crashing, failing and releasing now and then.
async fn unreliable(group: TestGroup, s: Scene, number: usize) -> Vec<MessageId> {
    let mut chance = Chance::new(number);
    let mut settled = Vec::new();
    let mut member = group.member().await;
    loop {
        let deliveries = fetch(&*member, 5).await;
        if deliveries.is_empty() {
            if group.pending().await.is_empty() {
                return settled;
            }
            s.advance(LEASE / 16);
        }
        for delivery in deliveries {
            let result = match chance.below(8) {
                0 => {
                    member = group.member().await;
                    break;
                }
                1 => member.fail(&delivery, "no").await.map(drop),
                2 => member.release(&delivery).await,
                _ => {
                    let done = member.done(&delivery).await;
                    if done.is_ok() {
                        settled.push(delivery.message.id);
                    }
                    done
                }
            };
            if let Err(error) = result {
                assert!(
                    STALE.contains(&error.kind()),
                    "who is late loses, and nothing else goes wrong: {error}"
                );
            }
        }
    }
}

pub(crate) async fn f1_unreliable_workers_settle_everything_once(s: &Scene) {
    let topic = s.topic("orders").await;
    let mut groups = Vec::new();
    for name in ["a", "b", "c"] {
        groups.push(topic.group_with(name, patient(options())).await);
    }
    let sent = topic.publish(60).await;
    let settled = together(9, |i| unreliable(groups[i % 3].clone(), s.clone(), i)).await;
    for (i, group) in groups.iter().enumerate() {
        let of_group = settled.iter().skip(i).step_by(3).flatten().copied();
        same_ids(
            of_group,
            sent.clone(),
            "every message is effectively settled once in every group, however workers fail",
        );
        assert_eq!(group.dead_letters().await, [], "and none is given up");
    }
    topic.complete(&sent, "every message is complete").await;
}

pub(crate) async fn maintenance_runs_out_of_work<H: Harness>(f: &Fixture<H>) {
    f.maintain_until_idle().await;
    let topic = f.topic("orders").await;
    let (a, b) = (topic.group("a").await, topic.group("b").await);
    let mut open = f.begin().await;
    f.publish_in(&mut open, &topic, 2).await;
    let late = topic.group("late").await;
    open.commit().await.expect("it can be committed");
    topic.publish(20).await;
    let member = a.member().await;
    let held = take(&*member, 10).await;
    let mut tx = f.begin().await;
    f.settle_in(&mut tx, &held).await.expect("they are held");
    tx.commit().await.expect("it can be committed");
    b.cancel().await.expect("it can be cancelled");

    f.maintain_until_idle().await;
    let (of_a, of_late) = (a.pending().await, late.pending().await);
    assert_eq!(
        (of_a.len(), of_late.len()),
        (12, 22),
        "maintenance changes nothing that is owed"
    );
    let report = f.scene().backend.maintain().await;
    let report = report.expect("maintenance may be called at any time");
    assert!(
        report.is_idle(),
        "maintenance that is repeated stays out of work: {report:?}"
    );
    assert_eq!(
        (a.pending().await, late.pending().await),
        (of_a, of_late),
        "and changes nothing that is owed"
    );
}

pub(crate) async fn maintenance_may_run_anywhere_and_at_any_time<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let groups = topic.groups(2).await;
    let working = Arc::new(AtomicUsize::new(4));
    let settled = together(8, |i| {
        let (scene, topic) = (f.scene().clone(), topic.clone());
        let (group, working) = (groups[i % 2].clone(), working.clone());
        async move {
            if i >= 4 {
                while working.load(Ordering::SeqCst) > 0 {
                    scene.maintain().await;
                }
                return (Vec::new(), Vec::new());
            }
            let (mut sent, mut settled) = (Vec::new(), Vec::new());
            for round in 0..6 {
                sent.extend(topic.publish(3).await);
                let brief = topic.group(&format!("brief {i} {round}")).await;
                settled.extend(ids(&group.drain().await));
                brief.cancel().await.expect("it can be cancelled");
            }
            working.fetch_sub(1, Ordering::SeqCst);
            (sent, settled)
        }
    })
    .await;
    let sent: Vec<_> = settled.iter().flat_map(|(sent, _)| sent.clone()).collect();
    for (i, group) in groups.iter().enumerate() {
        let mut all: Vec<_> = settled
            .iter()
            .skip(i)
            .step_by(2)
            .flat_map(|(_, settled)| settled.clone())
            .collect();
        all.extend(ids(&group.drain().await));
        same_ids(
            all,
            sent.clone(),
            "with maintenance going on everywhere each message is delivered once",
        );
    }
    f.maintain_until_idle().await;
    topic.complete(&sent, "and every message is complete").await;
}
