//! Messages that commit late, out of the order of their ids, or never.

use fanout_core::{MessageId, NewMessage};

use crate::Harness;
use crate::stage::{
    Chance, Fixture, TestGroup, TestTopic, both_orderings, by_key, ids, in_order, nothing, of_key,
    ordered, same_ids, settle_all, take, take_all,
};

/// A topic with a group of each ordering.
async fn stage<H: Harness>(f: &Fixture<H>) -> (TestTopic, Vec<TestGroup>) {
    let topic = f.topic("orders").await;
    let mut groups = Vec::new();
    for (name, options) in both_orderings() {
        groups.push(topic.group_with(name, options).await);
    }
    (topic, groups)
}

pub(crate) async fn ids_may_commit_in_any_order<H: Harness>(f: &Fixture<H>) {
    const OPEN: usize = 8;
    let (topic, groups) = stage(f).await;
    for stride in [3, 7] {
        let mut open = Vec::new();
        for _ in 0..OPEN {
            let mut tx = f.begin().await;
            let sent = f.publish_all_in(&mut tx, &topic, of_key("a", 2)).await;
            open.push(Some((tx, sent)));
        }
        for turn in 0..OPEN {
            let (tx, sent) = open[(OPEN - 1 + turn * stride) % OPEN]
                .take()
                .expect("each has its turn once");
            tx.commit().await.expect("it can be committed");
            for group in &groups {
                same_ids(
                    ids(&group.drain().await),
                    sent.clone(),
                    "what commits is delivered, and nothing else, whatever its ids",
                );
            }
            if turn % 3 == 0 {
                f.maintain_until_idle().await;
            }
        }
    }
    for group in &groups {
        group.nothing("and nothing is delivered twice").await;
        assert_eq!(group.pending().await, [], "nor owed");
    }
}

pub(crate) async fn many_commits_between_two_fetches<H: Harness>(f: &Fixture<H>) {
    let (topic, groups) = stage(f).await;
    let mut chance = Chance::new(3);
    let (mut open, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let mut tx = f.begin().await;
        let sent = f.publish_in(&mut tx, &topic, 3).await;
        open.push((tx, sent));
        if open.len() == 12 {
            for _ in 0..1 + chance.below(11) {
                let place = chance.below(open.len() as u64) as usize;
                let (tx, sent) = open.swap_remove(place);
                if chance.below(3) == 0 {
                    tx.rollback().await.expect("it can be undone");
                } else {
                    tx.commit().await.expect("it can be committed");
                    expected.extend(sent);
                }
            }
            for group in &groups {
                same_ids(
                    ids(&group.drain().await),
                    expected.clone(),
                    "of each moment exactly that is delivered which committed since the last",
                );
            }
            expected.clear();
        }
    }
    for (tx, sent) in open.into_iter().rev() {
        tx.commit().await.expect("it can be committed");
        expected.extend(sent);
    }
    for group in &groups {
        same_ids(
            ids(&group.drain().await),
            expected.clone(),
            "and in the end all the rest",
        );
    }
}

pub(crate) async fn undone_publishers_leave_no_hole<H: Harness>(f: &Fixture<H>) {
    let (topic, groups) = stage(f).await;
    let mut expected = Vec::new();
    for round in 0..10 {
        let mut tx = f.begin().await;
        f.publish_in(&mut tx, &topic, 1 + round).await;
        expected.extend(topic.publish_all(of_key("a", 1)).await);
        if round % 2 == 0 {
            tx.rollback().await.expect("it can be undone");
        } else {
            drop(tx);
        }
    }
    for group in &groups {
        assert_eq!(
            group.pending().await,
            expected,
            "what was undone is not owed"
        );
        let drained = group.drain().await;
        same_ids(ids(&drained), expected.clone(), "nor delivered");
        in_order(&drained, "and order holds across the holes");
    }
}

pub(crate) async fn a_message_may_commit_long_after_its_neighbours<H: Harness>(f: &Fixture<H>) {
    const NEIGHBOURS: usize = 400;
    let (topic, groups) = stage(f).await;
    let mut tx = f.begin().await;
    let late = f.publish_all_in(&mut tx, &topic, of_key("late", 1)).await;
    for _ in 0..4 {
        let sent = topic.publish_all(of_key("a", NEIGHBOURS / 4)).await;
        for group in &groups {
            same_ids(
                ids(&group.drain().await),
                sent.clone(),
                "its neighbours do not wait for it",
            );
        }
        f.maintain_until_idle().await;
        f.advance(std::time::Duration::from_secs(3600));
    }
    tx.commit().await.expect("it can be committed");
    let after = topic.publish_all(of_key("late", 1)).await;
    for group in &groups {
        let drained = group.drain().await;
        same_ids(
            ids(&drained),
            [late[0], after[0]],
            "it is delivered when it has committed, however long its neighbours are gone",
        );
        in_order(&drained, "before what was published after that");
        group.nothing("once").await;
    }
}

pub(crate) async fn a_late_message_in_the_midst_of_a_batch<H: Harness>(f: &Fixture<H>) {
    let (topic, groups) = stage(f).await;
    let mut sent = topic.publish_all(of_key("a", 3)).await;
    let mut tx = f.begin().await;
    let late = f.publish_all_in(&mut tx, &topic, of_key("b", 2)).await;
    sent.extend(topic.publish_all(of_key("a", 3)).await);
    let mut members = Vec::new();
    for group in &groups {
        let member = group.member().await;
        let held = take(&*member, 4).await;
        members.push((group, member, held));
    }
    tx.commit().await.expect("it can be committed");
    for (group, member, mut held) in members {
        settle_all(&*member, &held).await;
        held.extend(group.drain_by(&*member).await);
        let expected = sent.iter().chain(&late).copied();
        same_ids(
            ids(&held),
            expected,
            "what commits between two fetches joins the rest, and nothing is lost for it",
        );
        assert_eq!(group.pending().await, [], "all are settled");
    }
}

pub(crate) async fn interleaved_transactions_keep_their_own_order<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group_with("billing", ordered()).await;
    for first in [0, 1] {
        let mut open = [f.begin().await, f.begin().await];
        let mut sent = [Vec::new(), Vec::new()];
        for turn in 0..8 {
            let which = turn % 2;
            let key = format!("of {which}");
            let batch = vec![
                NewMessage::new("own").key(key),
                NewMessage::new("shared").key("shared"),
            ];
            let ids = f.publish_all_in(&mut open[which], &topic, batch).await;
            sent[which].push(ids);
        }
        let [one, two] = open;
        let in_turn = if first == 0 { [one, two] } else { [two, one] };
        let mut drained = Vec::new();
        for tx in in_turn {
            tx.commit().await.expect("it can be committed");
            drained.extend(group.drain().await);
        }
        let all = sent.iter().flatten().flatten().copied();
        same_ids(ids(&drained), all, "both are delivered");
        let keys = by_key(&drained);
        for (which, sent) in sent.iter().enumerate() {
            let own: Vec<MessageId> = sent.iter().map(|ids| ids[0]).collect();
            assert_eq!(
                keys[&format!("of {which}")],
                own,
                "what one transaction published of a key is delivered in its order"
            );
        }
        let shared: Vec<MessageId> = [first, 1 - first]
            .into_iter()
            .flat_map(|which| sent[which].iter().map(|ids| ids[1]))
            .collect();
        assert_eq!(
            keys["shared"], shared,
            "of a key that both published, in the order of their commits where they were \
             fetched between"
        );
    }
}

pub(crate) async fn order_is_that_of_commits<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group_with("billing", ordered()).await;
    let member = group.member().await;
    let mut tx = f.begin().await;
    let low = f.publish_all_in(&mut tx, &topic, of_key("a", 1)).await;
    let high = topic.publish_all(of_key("a", 1)).await;
    let first = take_all(&*member).await;
    assert_eq!(ids(&first), high, "an open publisher holds up no key");
    tx.commit().await.expect("it can be committed");
    let last = topic.publish_all(of_key("a", 1)).await;
    settle_all(&*member, &first).await;
    assert_eq!(
        ids(&group.drain_by(&*member).await),
        [low[0], last[0]],
        "what commits late comes late, and before what was published after its commit"
    );
}

pub(crate) async fn what_is_open_is_invisible_at_every_step<H: Harness>(f: &Fixture<H>) {
    let (topic, groups) = stage(f).await;
    let mut open = Vec::new();
    for step in 0..6 {
        let mut tx = f.begin().await;
        let sent = f.publish_in(&mut tx, &topic, 2).await;
        open.push((tx, sent));
        if step % 2 == 0 {
            f.maintain().await;
        }
        for group in &groups {
            assert_eq!(group.pending().await, [], "what is open is not owed");
            let member = group.member().await;
            nothing(&*member, "nor delivered").await;
            member.leave().await.expect("a member can leave");
        }
    }
    while let Some((tx, sent)) = open.pop() {
        tx.commit().await.expect("it can be committed");
        for group in &groups {
            assert_eq!(group.pending().await, sent, "what is committed is owed");
            same_ids(ids(&group.drain().await), sent.clone(), "and delivered");
        }
    }
}
