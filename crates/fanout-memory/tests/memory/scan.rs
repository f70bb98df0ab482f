//! The ordered sets of due and waiting messages against a plain scan, under any clock.

use std::collections::BTreeMap;
use std::time::Duration;

use fanout_core::{
    Backend, Clock, Delivery, Member, Outcome, Settlement, SubscriptionOptions, Timestamp,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::stage::{LEASE, Stage, group, ids, take};

#[derive(Clone, Debug)]
enum Op {
    Publish(usize),
    Fetch(usize),
    Done(prop::sample::Index),
    Fail(prop::sample::Index),
    Release(prop::sample::Index),
    Extend(prop::sample::Index, u64),
    Clock(i64),
}

fn op() -> impl Strategy<Value = Op> {
    let any = any::<prop::sample::Index>;
    prop_oneof![
        2 => (1..4_usize).prop_map(Op::Publish),
        4 => (1..6_usize).prop_map(Op::Fetch),
        1 => any().prop_map(Op::Done),
        1 => any().prop_map(Op::Fail),
        1 => any().prop_map(Op::Release),
        1 => (any(), 1..100_u64).prop_map(|(which, by)| Op::Extend(which, by)),
        3 => (-60..60_i64).prop_map(Op::Clock),
    ]
}

/// What is owed: the number of its latest delivery, and when it may be delivered again.
type Model = BTreeMap<i64, (usize, Option<Timestamp>)>;

async fn run(ops: Vec<Op>) {
    let stage = Stage::new().await;
    let options = SubscriptionOptions {
        max_attempts: 1000,
        max_stalls: 1000,
        ..SubscriptionOptions::default()
    };
    let member = stage.join_with("g", options).await;
    let mut model = Model::new();
    let mut deliveries: Vec<Delivery> = Vec::new();
    for op in ops {
        let now = stage.clock.now();
        match op {
            Op::Clock(seconds) => {
                let by = Duration::from_secs(seconds.unsigned_abs());
                stage
                    .clock
                    .set(if seconds < 0 { now - by } else { now + by });
            }
            Op::Publish(count) => {
                for id in stage.publish(count, 1).await.unwrap() {
                    model.insert(id.0, (usize::MAX, None));
                }
            }
            Op::Fetch(limit) => {
                let due = model
                    .iter()
                    .filter(|(_, (_, at))| at.is_none_or(|at| at <= now));
                let expected: Vec<_> = due.map(|(id, _)| *id).take(limit).collect();
                let taken = take(&member, limit).await;
                assert_eq!(ids(&taken), expected);
                for delivery in taken {
                    model.insert(delivery.message.id.0, (deliveries.len(), Some(now + LEASE)));
                    deliveries.push(delivery);
                }
            }
            Op::Done(which) | Op::Fail(which) | Op::Release(which) | Op::Extend(which, _)
                if !deliveries.is_empty() =>
            {
                settle(&*member, &mut model, &deliveries, which, &op, now).await;
            }
            _ => {}
        }
        let pending: Vec<_> = model.keys().copied().collect();
        assert_eq!(stage.pending("g").await, pending);
        let now = stage.clock.now();
        let stats = &stage.backend.stats(&stage.topic).await.unwrap()[0];
        let waiting = model
            .values()
            .filter(|(_, at)| at.is_some_and(|at| at > now))
            .count();
        assert_eq!(stats.in_flight + stats.delayed, waiting as u64);
        assert_eq!(stats.group, group("g"));
    }
}

async fn settle(
    member: &dyn Member,
    model: &mut Model,
    deliveries: &[Delivery],
    which: prop::sample::Index,
    op: &Op,
    now: Timestamp,
) {
    let number = which.index(deliveries.len());
    let (receipt, id) = (deliveries[number].receipt, deliveries[number].message.id.0);
    let current = model.get(&id).is_some_and(|(latest, _)| *latest == number);
    let settlement = match op {
        Op::Extend(_, by) => {
            let by = Duration::from_secs(*by);
            let extended = member.extend(&[receipt], by).await.unwrap();
            assert_eq!(extended[0] != fanout_core::Extension::Stale, current);
            if current {
                model.insert(id, (number, Some(now + by)));
            }
            return;
        }
        Op::Done(_) => Settlement::done(receipt),
        Op::Fail(_) => Settlement::fail(receipt, "no"),
        _ => Settlement::release(receipt),
    };
    let outcome = member.settle(&[settlement]).await.unwrap()[0];
    assert_eq!(outcome.is_effective(), current);
    match (op, outcome) {
        (_, Outcome::Stale) => {}
        (Op::Done(_), Outcome::Applied) => drop(model.remove(&id)),
        (Op::Release(_), Outcome::Applied) => drop(model.insert(id, (usize::MAX, None))),
        (Op::Fail(_), Outcome::Retry { due }) => {
            model.insert(id, (usize::MAX, Some(due)));
        }
        unexpected => panic!("{unexpected:?}"),
    }
}

proptest! {
    #[test]
    fn a_fetch_finds_what_a_scan_finds(ops in vec(op(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(ops));
    }
}
