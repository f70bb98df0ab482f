//! Up to where a topic is settled while transactions are open and others are at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanout_core::{MemberExt, Transactional};

use super::watermark::{MAX_ROUNDS, NONE, reaches, stage, stays_below, truth};
use crate::Harness;
use crate::stage::{
    Chance, Fixture, LEASE, both_orderings, fetch, join_all, messages, of_key, patient, settle_all,
    take, together,
};

pub(crate) async fn an_open_publisher_holds_it<H: Harness>(f: &Fixture<H>) {
    let (topic, groups) = stage(f).await;
    let before = topic.publish(2).await;
    // An engine may know of publishers only as of its upkeep.
    f.maintain().await;
    let mut tx = f.begin().await;
    let open = f.publish_in(&mut tx, &topic, 2).await;
    f.maintain().await;
    let mut undone = f.begin().await;
    let burnt = f.publish_in(&mut undone, &topic, 1).await;
    let after = topic.publish(2).await;
    for group in &groups {
        group.drain().await;
    }
    reaches(
        &topic,
        &groups,
        before[1],
        "up to an open publisher everything is settled",
    )
    .await;
    let decided = topic.watermark().await.decided;
    assert!(
        decided < open[0],
        "what may yet commit is not decided: {decided}, open is {open:?}"
    );
    tx.commit().await.expect("it can be committed");
    stays_below(
        &topic,
        &groups,
        open[0],
        "now that it is committed, owed is",
    )
    .await;
    for group in &groups {
        group.drain().await;
    }
    reaches(
        &topic,
        &groups,
        open[1],
        "once that is settled it comes to the next open one",
    )
    .await;
    assert!(
        topic.watermark().await.decided < burnt[0],
        "what may yet commit is not decided"
    );
    undone.rollback().await.expect("it can be undone");
    reaches(
        &topic,
        &groups,
        after[1],
        "of one that is undone nothing is left to settle",
    )
    .await;
}

pub(crate) async fn undone_publishers_are_decided<H: Harness>(f: &Fixture<H>) {
    let (topic, groups) = stage(f).await;
    let mut tx = f.begin().await;
    let burnt = f.publish_in(&mut tx, &topic, 3).await;
    tx.rollback().await.expect("it can be undone");
    for _ in 0..20 {
        f.maintain().await;
        let watermark = truth(&topic, &groups).await;
        assert!(
            watermark.decided <= burnt[2],
            "what was never drawn is not decided: {watermark:?}"
        );
    }
    let sent = topic.publish(1).await;
    for group in &groups {
        group.drain().await;
    }
    reaches(&topic, &groups, sent[0], "burnt ids do not hold it").await;
}

pub(crate) async fn a_commit_settles_for_it<H: Harness>(f: &Fixture<H>) {
    for (name, options) in both_orderings() {
        let topic = f.topic(name).await;
        let group = topic.group_with("billing", options).await;
        let sent = topic.publish_all(of_key("a", 3)).await;
        let member = group.member().await;
        let held = take(&*member, 3).await;
        let mut tx = f.begin().await;
        f.settle_in(&mut tx, &held).await.expect("they are held");
        let groups = [group];
        stays_below(&topic, &groups, sent[0], "what may yet be undone is owed:").await;
        tx.commit().await.expect("it can be committed");
        reaches(&topic, &groups, sent[2], "a committed settlement counts").await;
    }
}

pub(crate) async fn it_is_monotone_and_true_at_every_step<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let mut groups = Vec::new();
    for (name, options) in both_orderings() {
        groups.push(topic.group_with(name, patient(options)).await);
    }
    let members = [groups[0].member().await, groups[1].member().await];
    let mut chance = Chance::new(7);
    let (mut last, mut open, mut held) = (NONE, Vec::new(), [Vec::new(), Vec::new()]);
    for step in 0..300 {
        let which = chance.below(2) as usize;
        match chance.below(9) {
            0 => drop(topic.publish_all(of_key("a", 2)).await),
            1 if open.len() < 5 => {
                let mut tx = f.begin().await;
                let ids = f.publish_all_in(&mut tx, &topic, of_key("b", 2)).await;
                open.push((ids[0], tx));
            }
            2 | 3 if !open.is_empty() => {
                let place = chance.below(open.len() as u64) as usize;
                let (_, tx) = open.swap_remove(place);
                let ended = if step % 3 == 0 {
                    tx.rollback().await
                } else {
                    tx.commit().await
                };
                ended.expect("a transaction can be ended");
            }
            4 | 5 => held[which].extend(fetch(&*members[which], 3).await),
            6 | 7 if !held[which].is_empty() => {
                let delivery = held[which].remove(0);
                let settled = match chance.below(6) {
                    0 => members[which].fail(&delivery, "no").await.map(drop),
                    1 => members[which].release(&delivery).await,
                    _ => members[which].done(&delivery).await,
                };
                // Behind what was released the order may refuse it; its lease will end.
                drop(settled);
            }
            8 => {
                f.advance(Duration::from_secs(1));
            }
            _ => f.maintain().await,
        }
        let watermark = truth(&topic, &groups).await;
        assert!(
            watermark.id >= last,
            "it never falls for work as usual: from {last} to {watermark:?}"
        );
        last = watermark.id;
        for (first, _) in &open {
            assert!(
                watermark.decided < *first,
                "what may yet commit is not decided: {watermark:?}, open is {first}"
            );
        }
    }
    for (_, tx) in open {
        tx.commit().await.expect("it can be committed");
    }
    for member in members {
        member.leave().await.expect("a member can leave");
    }
    let end = topic.publish(1).await;
    for group in &groups {
        f.advance(LEASE * 100);
        group.drain_for_good().await;
    }
    reaches(&topic, &groups, end[0], "in the end all is settled").await;
}

pub(crate) async fn c1_it_is_monotone_and_true_under_load<H: Harness>(f: &Fixture<H>) {
    const PUBLISHERS: usize = 6;
    const WORKERS: usize = 4;
    let topic = f.topic("orders").await;
    let mut groups = Vec::new();
    for (name, options) in both_orderings() {
        groups.push(topic.group_with(name, options).await);
    }
    let done = Arc::new(AtomicUsize::new(0));
    let upkeep = {
        let (scene, topic, done) = (f.scene().clone(), topic.clone(), done.clone());
        tokio::spawn(async move {
            let mut last = NONE;
            while done.load(Ordering::SeqCst) < PUBLISHERS + WORKERS {
                scene.maintain().await;
                let watermark = topic.watermark().await;
                assert!(watermark.id >= last, "it never falls: {watermark:?}");
                last = watermark.id;
            }
        })
    };
    let sent = together(PUBLISHERS + WORKERS, |i| {
        let (backend, topic, done) = (f.backend.clone(), topic.clone(), done.clone());
        let group = groups[i % 2].clone();
        let mut chance = Chance::new(i);
        async move {
            let mut sent = Vec::new();
            if i < PUBLISHERS {
                for _ in 0..15 {
                    let mut tx = backend.begin().await.expect("one can be begun");
                    let ids = backend.publish_in(tx.tx(), topic.name(), messages(2)).await;
                    let ids = ids.expect("a good batch is published");
                    for _ in 0..chance.below(4) {
                        let watermark = topic.watermark().await;
                        assert!(
                            watermark.decided < ids[0],
                            "what may yet commit is not decided: {watermark:?}, {ids:?}"
                        );
                    }
                    if chance.below(3) == 0 {
                        tx.rollback().await.expect("it can be undone");
                    } else {
                        tx.commit().await.expect("it can be committed");
                        sent.extend(ids);
                    }
                }
                done.fetch_add(1, Ordering::SeqCst);
                return sent;
            }
            let member = group.member().await;
            loop {
                let over = done.load(Ordering::SeqCst) >= PUBLISHERS;
                let held = fetch(&*member, 5).await;
                if held.is_empty() && over && group.pending().await.is_empty() {
                    done.fetch_add(1, Ordering::SeqCst);
                    return sent;
                }
                let watermark = topic.watermark().await;
                let lowest = held.iter().map(|delivery| delivery.message.id).min();
                assert!(
                    lowest.is_none_or(|lowest| watermark.id < lowest),
                    "what is in hand is not settled: {watermark:?}, {lowest:?}"
                );
                settle_all(&*member, &held).await;
            }
        }
    })
    .await;
    join_all(vec![upkeep]).await;
    let end = sent.concat().into_iter().max().expect("some committed");
    for _ in 0..MAX_ROUNDS {
        f.maintain().await;
        if truth(&topic, &groups).await.id >= end {
            return;
        }
    }
    panic!("in the end it has passed all that committed: {end}");
}
