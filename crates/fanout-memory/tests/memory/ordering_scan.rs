//! Order per key, parking and blocking against a plain list that says who may get what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, Clock, Delivery, Member, NewMessage, OnFailure, OpenTx, Outcome, Settlement,
    SubscriptionOptions, Timestamp, Transactional, Verdict, lane_of,
};
use fanout_memory::MemoryTx;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::stage::{LEASE, Stage, ids, is_tracked, one_lane, per_key, take};

const LANES: u16 = 2;
const KEYS: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("order-42")];
const MAX_ATTEMPTS: u32 = 3;

#[derive(Clone, Debug)]
enum Op {
    Publish(Vec<usize>),
    Open(Vec<usize>),
    Commit(Index),
    Fetch(usize, usize),
    Settle(usize, Vec<(Index, Verdict)>),
    Clock(i64),
}

fn op() -> impl Strategy<Value = Op> {
    let keys = || vec(0..KEYS.len(), 1..4);
    let verdict = prop_oneof![
        3 => Just(Verdict::Done),
        2 => Just(Verdict::Fail("no".to_owned())),
        1 => Just(Verdict::Skip),
        1 => Just(Verdict::Release),
    ];
    prop_oneof![
        3 => keys().prop_map(Op::Publish),
        1 => keys().prop_map(Op::Open),
        1 => any::<Index>().prop_map(Op::Commit),
        4 => (0..2_usize, 1..6_usize).prop_map(|(who, limit)| Op::Fetch(who, limit)),
        5 => (0..2_usize, vec((any::<Index>(), verdict), 1..5))
            .prop_map(|(who, which)| Op::Settle(who, which)),
        2 => (-20..40_i64).prop_map(Op::Clock),
    ]
}

/// A message that the group owes.
#[derive(Debug)]
struct Item {
    id: i64,
    key: Option<&'static str>,
    parked: bool,
    blocks: bool,
    failures: u32,
    /// The member that has it, and the number of that delivery.
    held: Option<(usize, usize)>,
    not_before: Option<Timestamp>,
}

impl Item {
    fn new(id: i64, key: usize) -> Self {
        Self {
            id,
            key: KEYS[key],
            parked: false,
            blocks: false,
            failures: 0,
            held: None,
            not_before: None,
        }
    }

    fn lane(&self) -> u16 {
        lane_of(self.key, self.id, LANES)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    fn give_back(&mut self, not_before: Option<Timestamp>) {
        self.held = None;
        self.not_before = not_before;
    }
}

/// What is owed, in the order of commits.
#[derive(Debug, Default)]
struct Model {
    items: Vec<Item>,
    deliveries: Vec<Delivery>,
}

impl Model {
    fn fetch(&mut self, who: usize, limit: usize, now: Timestamp) -> Vec<(i64, u32, bool)> {
        let mut found = Vec::new();
        let waits = |item: &&Item| item.blocks && !item.is_due(now);
        let blocked: BTreeSet<_> = self.items.iter().filter(waits).map(Item::lane).collect();
        for at in 0..self.items.len() {
            let (earlier, rest) = self.items.split_at_mut(at);
            let item = &mut rest[0];
            let in_turn = item.parked
                || !blocked.contains(&item.lane())
                    && earlier
                        .iter()
                        .filter(|other| item.key.is_some() && other.key == item.key)
                        .filter(|other| !other.parked)
                        .all(|other| {
                            !other.is_due(now) && other.held.is_some_and(|(by, _)| by == who)
                        });
            if found.len() < limit && item.is_due(now) && in_turn {
                item.held = Some((who, self.deliveries.len() + found.len()));
                item.not_before = Some(now + LEASE);
                item.blocks = false;
                found.push((item.id, item.failures + 1, item.parked));
            }
        }
        found
    }

    /// What should become of a settlement; the due time of a retry is the engine's choice.
    fn settle(&mut self, number: usize, verdict: &Verdict, policy: OnFailure, was: Outcome) {
        let held = |item: &Item| item.held.is_some_and(|(_, latest)| latest == number);
        let Some(at) = self.items.iter().position(held) else {
            return assert_eq!(was, Outcome::Stale);
        };
        if *verdict == Verdict::Release {
            self.items[at].give_back(None);
            return assert_eq!(was, Outcome::Applied);
        }
        let (earlier, rest) = self.items.split_at_mut(at);
        let (item, later) = rest.split_first_mut().unwrap();
        let in_order = |other: &Item| !other.parked && other.key.is_some();
        if in_order(item) && earlier.iter().any(|o| in_order(o) && o.key == item.key) {
            return assert_eq!(was, Outcome::OutOfOrder);
        }
        if matches!(verdict, Verdict::Fail(_)) {
            item.failures += 1;
            if item.failures < MAX_ATTEMPTS {
                let Outcome::Retry { due } = was else {
                    panic!("a retry, not {was:?}");
                };
                item.give_back(Some(due));
                if item.parked || policy == OnFailure::Park {
                    item.parked = true;
                    return;
                }
                item.blocks = true;
                for other in later.iter_mut().filter(|o| o.lane() == item.lane()) {
                    if other.held.is_some() && !other.parked {
                        other.give_back(None);
                    }
                }
                return;
            }
            assert_eq!(was, Outcome::DeadLettered);
        } else {
            assert_eq!(was, Outcome::Applied);
        }
        self.items.remove(at);
    }

    fn place(&self, id: i64) -> Option<usize> {
        self.items.iter().position(|item| item.id == id)
    }
}

type Open = (Box<dyn OpenTx<Tx = MemoryTx>>, Vec<Item>);

struct Run {
    stage: Stage,
    policy: OnFailure,
    members: [Arc<dyn Member>; 2],
    open: Vec<Open>,
    model: Model,
}

impl Run {
    async fn new(policy: OnFailure) -> Self {
        let config = fanout_core::TopicConfig {
            lanes: LANES,
            ..one_lane()
        };
        let stage = Stage::of(config).await;
        let options = SubscriptionOptions {
            on_failure: policy,
            max_attempts: MAX_ATTEMPTS,
            max_stalls: 1000,
            ..per_key()
        };
        let members = [
            stage.join_with("g", options.clone()).await,
            stage.join_with("g", options).await,
        ];
        Self {
            stage,
            policy,
            members,
            open: Vec::new(),
            model: Model::default(),
        }
    }

    async fn take(&mut self, op: Op) {
        let Stage {
            clock,
            backend,
            topic,
        } = &self.stage;
        let now = clock.now();
        match op {
            Op::Clock(seconds) => {
                let by = Duration::from_secs(seconds.unsigned_abs());
                clock.set(if seconds < 0 { now - by } else { now + by });
            }
            Op::Publish(keys) => {
                let ids = backend.publish(topic, messages(&keys)).await.unwrap();
                let items = ids.iter().zip(keys).map(|(id, key)| Item::new(id.0, key));
                self.model.items.extend(items);
            }
            Op::Open(keys) => {
                let mut open = backend.begin().await.unwrap();
                let ids = backend.publish_in(open.tx(), topic, messages(&keys)).await;
                let ids = ids.unwrap().into_iter().zip(keys);
                let items = ids.map(|(id, key)| Item::new(id.0, key)).collect();
                self.open.push((open, items));
            }
            Op::Commit(which) if !self.open.is_empty() => {
                let (open, items) = self.open.swap_remove(which.index(self.open.len()));
                open.commit().await.unwrap();
                self.model.items.extend(items);
            }
            Op::Fetch(who, limit) => {
                let expected = self.model.fetch(who, limit, now);
                let taken = take(&self.members[who], limit).await;
                let found: Vec<_> = taken
                    .iter()
                    .map(|d| (d.message.id.0, d.attempt, is_tracked(d)))
                    .collect();
                assert_eq!(found, expected, "{:?}", ids(&taken));
                self.model.deliveries.extend(taken);
            }
            Op::Settle(who, which) if !self.model.deliveries.is_empty() => {
                self.settle(who, which).await;
            }
            Op::Commit(_) | Op::Settle(..) => {}
        }
        self.check().await;
    }

    async fn settle(&mut self, who: usize, which: Vec<(Index, Verdict)>) {
        let model = &mut self.model;
        let count = model.deliveries.len();
        let chosen: Vec<_> = which
            .into_iter()
            .map(|(which, verdict)| (which.index(count), verdict))
            .collect();
        let settlements: Vec<_> = chosen
            .iter()
            .map(|(number, verdict)| Settlement {
                receipt: model.deliveries[*number].receipt,
                verdict: verdict.clone(),
            })
            .collect();
        let outcomes = self.members[who].settle(&settlements).await.unwrap();
        let mut judged: Vec<_> = chosen.iter().zip(outcomes).collect();
        judged.sort_by_key(|((number, _), _)| model.place(model.deliveries[*number].message.id.0));
        for ((number, verdict), outcome) in judged {
            model.settle(*number, verdict, self.policy, outcome);
        }
    }

    async fn check(&self) {
        let mut pending: Vec<_> = self.model.items.iter().map(|item| item.id).collect();
        pending.sort_unstable();
        assert_eq!(self.stage.pending("g").await, pending);
        let now = self.stage.clock.now();
        let stats = self.stage.stats("g").await;
        let not_due = || self.model.items.iter().filter(|item| !item.is_due(now));
        let in_flight = not_due().filter(|item| item.held.is_some()).count();
        let parked = not_due().filter(|item| item.held.is_none() && item.parked);
        let lanes: BTreeSet<_> = not_due()
            .filter(|item| item.blocks)
            .map(Item::lane)
            .collect();
        assert_eq!(stats.in_flight, in_flight as u64);
        assert_eq!(stats.delayed, (parked.count() + lanes.len()) as u64);
    }
}

fn messages(keys: &[usize]) -> Vec<NewMessage> {
    keys.iter()
        .map(|key| match KEYS[*key] {
            Some(key) => NewMessage::new("x").key(key),
            None => NewMessage::new("x"),
        })
        .collect()
}

proptest! {
    #[test]
    fn order_is_what_a_plain_list_says(
        ops in vec(op(), 1..120),
        policy in prop::sample::select(OnFailure::ALL),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new(policy).await;
            for op in ops {
                run.take(op).await;
            }
        });
    }
}
