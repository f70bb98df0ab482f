//! Groups that want order.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanout::ErrorKind::{Unavailable, Unknown};
use fanout::{
    Backend, BackendExt, Backoff, BoxError, CompletionMode, ConsumerHandle, Delivery, Handler,
    ManualClock, Member, MemberExt, MemoryBackend, NewMessage, OnFailure, Ordering, Outcome,
    Settlement, StartPosition, SubscriptionOptions, lane_of,
};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::faulty::{Call, Faults, Faulty};
use crate::support::{World, ended, guarded, impatient, number, until};
use crate::witness::Witness;

const LEASE: Duration = Duration::from_secs(10);

fn in_order(on_failure: OnFailure) -> SubscriptionOptions {
    SubscriptionOptions {
        ordering: Ordering::PerKey,
        on_failure,
        ..impatient()
    }
}

/// Publishes messages of a key whose payloads are these numbers.
async fn publish(world: &World, key: &str, numbers: impl IntoIterator<Item = usize>) {
    let message = |n: usize| NewMessage::new(n.to_string()).key(key);
    let messages = numbers.into_iter().map(message).collect();
    world.backend.publish(&world.topic, messages).await.unwrap();
}

const KEYS: usize = 120;
const PER_KEY: usize = 20;

/// All keys in turn, each with the next of its numbers.
async fn publish_all(world: &World) {
    for number in 0..PER_KEY {
        let message = |key| NewMessage::new(number.to_string()).key(format!("key-{key}"));
        let messages = (0..KEYS).map(message).collect();
        world.backend.publish(&world.topic, messages).await.unwrap();
    }
}

/// How many messages fail at every attempt.
fn hopeless(max_attempts: u32) -> usize {
    let all = (0..KEYS).flat_map(|key| (0..PER_KEY).map(move |number| (key, number)));
    all.filter(|(key, number)| {
        let key = format!("key-{key}");
        (1..=max_attempts).all(|attempt| Witness::fails(&key, *number, attempt))
    })
    .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_members_keep_the_order_of_many_keys_whatever_fails() {
    for policy in [OnFailure::Park, OnFailure::Block] {
        for mode in CompletionMode::ALL {
            let options = in_order(policy);
            let witness = Witness::new(policy, options.max_attempts);
            let dead = hopeless(options.max_attempts);
            let world = World::in_mode(*mode, options).await;
            let consumer = world.consumer().members(8).batch_size(64).concurrency(4);
            let handle = consumer.handle();
            let running = tokio::spawn(consumer.run(witness.clone()));
            publish_all(&world).await;
            world.drained().await;
            handle.stop();
            ended(running).await.unwrap();
            let case = format!("{policy} {mode}");
            witness
                .read(|seen| assert!(seen.inversions.is_empty(), "{case}: {:#?}", seen.inversions));
            assert_eq!(witness.finished(), KEYS * PER_KEY, "{case}");
            assert_eq!(world.stats().await.dead_letters, dead as u64, "{case}");
            let counters = handle.counters();
            assert!(dead > 0 && counters.retried > 0, "{case}");
            assert_eq!((counters.out_of_order, counters.fenced), (0, 0), "{case}");
            if policy == OnFailure::Park {
                assert_eq!((counters.refused, counters.lost), (0, 0), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn order_outlives_stops_in_the_middle_of_work() {
    let options = in_order(OnFailure::Park);
    let witness = Witness::new(OnFailure::Park, options.max_attempts);
    let world = World::with(options).await;
    publish_all(&world).await;
    for round in 1.. {
        let consumer = world.consumer().members(3).batch_size(50).concurrency(4);
        let handle = consumer.handle();
        let running = tokio::spawn(consumer.run(witness.clone()));
        let enough = 61 * round % 300;
        until(async || handle.counters().done >= enough || world.pending().await == 0).await;
        handle.stop();
        ended(running).await.unwrap();
        assert_eq!(handle.counters().refused, 0);
        let stats = world.stats().await;
        assert_eq!(stats.in_flight, 0);
        if stats.pending == 0 {
            break;
        }
    }
    witness.read(|seen| assert!(seen.inversions.is_empty(), "{:#?}", seen.inversions));
    assert_eq!(witness.finished(), KEYS * PER_KEY);
}

#[tokio::test(start_paused = true)]
async fn order_outlives_calls_that_fail() {
    for policy in [OnFailure::Park, OnFailure::Block] {
        let options = in_order(policy);
        let witness = Witness::new(policy, options.max_attempts);
        let world = World::with(options).await;
        publish_all(&world).await;
        let faults = Faults::default();
        let backend = Faulty {
            inner: world.backend.clone(),
            faults: faults.clone(),
        };
        faults.plan(Call::Settle, &[Unavailable, Unknown, Unknown, Unavailable]);
        faults.plan(Call::Fetch, &[Unavailable, Unknown, Unavailable]);
        faults.plan(Call::Join, &[Unknown]);
        let consumer = world.consumer_on(Arc::new(backend)).batch_size(40);
        let handle = consumer.handle();
        let running = tokio::spawn(consumer.run(witness.clone()));
        world.drained().await;
        handle.stop();
        ended(running).await.unwrap();
        assert!(faults.are_spent());
        witness.read(|seen| assert!(seen.inversions.is_empty(), "{:#?}", seen.inversions));
        assert_eq!(witness.finished(), KEYS * PER_KEY);
    }
}

#[tokio::test(start_paused = true)]
async fn order_outlives_answers_that_come_late() {
    // Calls overlap: what a fetch brings was taken before the settlement whose answer comes first,
    // and the other way round.
    for (fetch, settle) in [(3, 2), (1, 7), (11, 4)] {
        for policy in [OnFailure::Park, OnFailure::Block] {
            let options = in_order(policy);
            let witness = Witness::new(policy, options.max_attempts);
            let world = World::with(options).await;
            publish_all(&world).await;
            let faults = Faults::default();
            let backend = Faulty {
                inner: world.backend.clone(),
                faults: faults.clone(),
            };
            faults.delay(Call::Fetch, Duration::from_millis(fetch));
            faults.delay(Call::Settle, Duration::from_millis(settle));
            let consumer = world.consumer_on(Arc::new(backend)).batch_size(40);
            let consumer = consumer.members(2).concurrency(3);
            let handle = consumer.handle();
            let running = tokio::spawn(consumer.run(witness.clone()));
            world.drained().await;
            handle.stop();
            ended(running).await.unwrap();
            witness.read(|seen| assert!(seen.inversions.is_empty(), "{:#?}", seen.inversions));
            assert_eq!(witness.finished(), KEYS * PER_KEY);
            assert_eq!(handle.counters().out_of_order, 0);
        }
    }
}

/// A key and a number of it.
type Begun = (Option<String>, usize);

/// Handlers wait here until the test lets them on.
#[derive(Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    begun: Arc<Mutex<Vec<Begun>>>,
}

impl Gate {
    fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(0)),
            begun: Arc::default(),
        }
    }

    fn begun(&self) -> Vec<Begun> {
        self.begun.lock().unwrap().clone()
    }

    async fn reaches(&self, begun: usize) {
        until(async || self.begun().len() >= begun).await;
    }
}

impl Handler for Gate {
    async fn handle(&self, delivery: &Delivery) -> Result<(), BoxError> {
        let message = &delivery.message;
        let begun = (message.key.clone(), number(message));
        self.begun.lock().unwrap().push(begun);
        self.permits.acquire().await?.forget();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_a_key_at_a_time_and_all_others_side_by_side() {
    let world = World::with(in_order(OnFailure::Park)).await;
    publish(&world, "a", 0..3).await;
    publish(&world, "b", 0..3).await;
    world.publish(3).await;
    let gate = Gate::new();
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(gate.clone()));
    until(async || handle.counters().delivered == 9).await;
    gate.reaches(5).await;
    // Virtual time: more than enough for a sixth.
    sleep(Duration::from_secs(1)).await;
    let begun: BTreeSet<_> = gate.begun().into_iter().collect();
    let named = |key: &str| (Some(key.to_owned()), 0);
    let expected = [(None, 0), (None, 1), (None, 2), named("a"), named("b")];
    assert_eq!(begun, BTreeSet::from(expected));
    assert_eq!(gate.begun().len(), 5);
    gate.permits.add_permits(100);
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    let of = |key: Option<&str>| {
        let all = gate.begun().into_iter();
        let own = all.filter(|begun| begun.0.as_deref() == key);
        own.map(|begun| begun.1).collect::<Vec<_>>()
    };
    assert_eq!(of(Some("a")), [0, 1, 2]);
    assert_eq!(of(Some("b")), [0, 1, 2]);
    assert_eq!(handle.counters().done, 9);
}

#[tokio::test]
async fn concurrency_is_a_limit_in_order_too() {
    let world = World::with(in_order(OnFailure::Park)).await;
    let gate = Gate::new();
    let consumer = world.consumer().concurrency(2);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(gate.clone()));
    for key in ["a", "b", "c", "d"] {
        publish(&world, key, 0..2).await;
    }
    gate.reaches(2).await;
    assert_eq!(gate.begun().len(), 2);
    gate.permits.add_permits(1);
    gate.reaches(3).await;
    assert_eq!(gate.begun().len(), 3);
    gate.permits.add_permits(100);
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
}

/// Fails one message at its first attempt, and keeps all that happens.
#[derive(Clone)]
struct FailsOnce {
    key: &'static str,
    number: usize,
    events: Arc<Mutex<Vec<Event>>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Begun(String, usize, u32),
    Retry,
}

impl FailsOnce {
    fn new(key: &'static str, number: usize) -> Self {
        Self {
            key,
            number,
            events: Arc::default(),
        }
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl Handler for FailsOnce {
    async fn handle(&self, delivery: &Delivery) -> Result<(), BoxError> {
        let key = delivery.message.key.clone().unwrap_or_default();
        let number = number(&delivery.message);
        let fails = (&*key, number, delivery.attempt) == (self.key, self.number, 1);
        let begun = Event::Begun(key, number, delivery.attempt);
        self.events.lock().unwrap().push(begun);
        if fails { Err("not yet".into()) } else { Ok(()) }
    }

    fn settled(&self, _: &Settlement, outcome: Outcome) {
        if let Outcome::Retry { .. } = outcome {
            self.events.lock().unwrap().push(Event::Retry);
        }
    }
}

fn begun(key: &str, number: usize, attempt: u32) -> Event {
    Event::Begun(key.to_owned(), number, attempt)
}

fn waits_a_minute(on_failure: OnFailure) -> SubscriptionOptions {
    SubscriptionOptions {
        backoff: Backoff::default()
            .with_initial(Duration::from_secs(60))
            .with_jitter(0.0),
        ..in_order(on_failure)
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_parks_is_settled_before_the_next_of_its_key_begins() {
    let world = World::with(waits_a_minute(OnFailure::Park)).await;
    publish(&world, "a", 0..4).await;
    let handler = FailsOnce::new("a", 1);
    // However long settlements may wait for others: longer than the test may take.
    let consumer = world.consumer().settle_after(Duration::from_secs(7200));
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(handler.clone()));
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    let expected = [
        begun("a", 0, 1),
        begun("a", 1, 1),
        Event::Retry,
        begun("a", 2, 1),
        begun("a", 3, 1),
        begun("a", 1, 2),
    ];
    assert_eq!(handler.events(), expected);
}

/// A key in the lane of `key`, and one in another lane.
fn neighbours(key: &str) -> (String, String) {
    let lane = |key: &str| lane_of(Some(key), 0, fanout::DEFAULT_LANES);
    let mut keys = (0..).map(|n| format!("key-{n}"));
    let same = keys.find(|other| lane(other) == lane(key)).unwrap();
    let other = keys.find(|other| lane(other) != lane(key)).unwrap();
    (same, other)
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_blocks_drops_what_came_after_it_in_its_lane() {
    let world = World::with(waits_a_minute(OnFailure::Block)).await;
    let (same, other) = neighbours("a");
    publish(&world, "a", 0..3).await;
    publish(&world, &same, 0..2).await;
    publish(&world, &other, 0..2).await;
    let handler = FailsOnce::new("a", 1);
    let consumer = world.consumer().concurrency(1);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(handler.clone()));
    until(async || handle.counters().done == 3).await;
    let counters = handle.counters();
    assert_eq!(
        (counters.lost, counters.released),
        (3, 0),
        "dropped unhandled"
    );
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    let events = handler.events();
    let of_lane: Vec<_> = (events.iter())
        .filter(|event| !matches!(event, Event::Begun(key, ..) if *key == other))
        .cloned()
        .collect();
    let expected = [
        begun("a", 0, 1),
        begun("a", 1, 1),
        Event::Retry,
        begun("a", 1, 2),
        begun("a", 2, 1),
        begun(&same, 0, 1),
        begun(&same, 1, 1),
    ];
    assert_eq!(of_lane, expected);
    let again = events.iter().position(|event| *event == begun("a", 1, 2));
    let last_other = events
        .iter()
        .position(|event| *event == begun(&other, 1, 1));
    assert!(last_other < again, "another lane does not wait");
    assert_eq!(handle.counters().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_takes_the_rest_of_its_key_along() {
    // The engine's clock is not the runtime's here: it jumps beyond the leases at once.
    let clock = Arc::new(ManualClock::default());
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let options = SubscriptionOptions {
        lease: LEASE,
        ..in_order(OnFailure::Park)
    };
    let world = World::of(backend, options).await;
    publish(&world, "a", 0..3).await;
    let gate = Gate::new();
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(gate.clone()));
    gate.reaches(1).await;
    clock.advance(LEASE);
    let other = world
        .backend
        .join_group(&world.topic, &world.group)
        .await
        .unwrap();
    let taken = other.fetch(10).await.unwrap().deliveries;
    assert_eq!(taken.len(), 3);
    // The next extension finds out.
    until(async || handle.counters().lost == 2).await;
    gate.permits.add_permits(10);
    until(async || handle.counters().refused == 1).await;
    assert_eq!(gate.begun().len(), 1);
    assert_eq!(other.done_all(&taken).await.unwrap(), 3);
    publish(&world, "a", 3..4).await;
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    let numbers: Vec<_> = gate.begun().into_iter().map(|begun| begun.1).collect();
    assert_eq!(numbers, [0, 3], "the key goes on");
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_lost_lease_is_given_back_at_once() {
    let clock = Arc::new(ManualClock::default());
    let (world, gate) = first_lease_is_shorter(&clock).await;
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(gate.clone()));
    let other = first_lease_ends(&world, &gate, &handle, &clock).await;
    let first = other.fetch(10).await.unwrap().deliveries;
    assert_eq!(first.len(), 1);
    // The next extension finds out, while the handler of the first still runs.
    until(async || handle.counters().released == 1).await;
    let second = other.fetch(10).await.unwrap().deliveries;
    assert_eq!(second.len(), 1);
    assert_eq!(other.done_all(&first).await.unwrap(), 1);
    assert_eq!(other.done_all(&second).await.unwrap(), 1);
    gate.permits.add_permits(2);
    handle.stop();
    ended(running).await.unwrap();
    assert_eq!(gate.begun().len(), 1);
    assert_eq!(handle.counters().refused, 1);
}

/// A world with one message of a key.
async fn first_lease_is_shorter(clock: &Arc<ManualClock>) -> (World, Gate) {
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let options = SubscriptionOptions {
        lease: LEASE,
        ..in_order(OnFailure::Park)
    };
    let world = World::of(backend, options).await;
    publish(&world, "a", 0..1).await;
    (world, Gate::new())
}

/// Lets a consumer take a second message of the key, and the lease of the first end, but not that of
/// the second; returns another member.
async fn first_lease_ends(
    world: &World,
    gate: &Gate,
    handle: &ConsumerHandle,
    clock: &ManualClock,
) -> Arc<dyn Member> {
    gate.reaches(1).await;
    clock.advance(LEASE / 2);
    publish(world, "a", 1..2).await;
    until(async || handle.counters().delivered == 2).await;
    clock.advance(LEASE / 2);
    let other = world.backend.join_group(&world.topic, &world.group);
    other.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_handled_out_of_order_is_given_back() {
    let clock = Arc::new(ManualClock::default());
    let (world, gate) = first_lease_is_shorter(&clock).await;
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(gate.clone()));
    let other = first_lease_ends(&world, &gate, &handle, &clock).await;
    let first = other.fetch(10).await.unwrap().deliveries;
    assert_eq!(first.len(), 1);
    gate.permits.add_permits(2);
    until(async || handle.counters().out_of_order == 1).await;
    until(async || world.stats().await.in_flight == 1).await;
    let second = other.fetch(10).await.unwrap().deliveries;
    assert_eq!(second.len(), 1, "it does not wait for its lease to end");
    assert_eq!(other.done_all(&first).await.unwrap(), 1);
    assert_eq!(other.done_all(&second).await.unwrap(), 1);
    handle.stop();
    ended(running).await.unwrap();
    assert_eq!(handle.counters().done, 0);
    assert_eq!(world.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_seek_in_the_middle_begins_anew_in_order() {
    let world = World::with(in_order(OnFailure::Block)).await;
    publish(&world, "a", 0..20).await;
    let gate = Gate::new();
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(gate.clone()));
    gate.permits.add_permits(10);
    gate.reaches(11).await;
    world
        .backend
        .seek(&world.topic, &world.group, StartPosition::FromBeginning)
        .await
        .unwrap();
    gate.permits.add_permits(100);
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    let numbers: Vec<_> = gate.begun().into_iter().map(|begun| begun.1).collect();
    let replayed = numbers.iter().rposition(|number| *number == 0).unwrap();
    assert_eq!(numbers[replayed..], (0..20).collect::<Vec<_>>());
    assert_eq!(numbers[..replayed], (0..replayed).collect::<Vec<_>>());
    assert!(handle.counters().refused > 0, "what was in hand is stale");
}

#[tokio::test(start_paused = true)]
async fn a_lane_goes_on_after_the_last_attempt() {
    let options = SubscriptionOptions {
        max_attempts: 2,
        ..waits_a_minute(OnFailure::Block)
    };
    let world = World::with(options).await;
    publish(&world, "a", 0..3).await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run({
        let attempts = attempts.clone();
        move |delivery: &Delivery| {
            let bad = number(&delivery.message) == 0;
            attempts.fetch_add(usize::from(bad), SeqCst);
            async move { if bad { Err("never".into()) } else { Ok(()) } }
        }
    }));
    guarded(world.drained()).await;
    handle.stop();
    ended(running).await.unwrap();
    assert_eq!(attempts.load(SeqCst), 2);
    let counters = handle.counters();
    assert_eq!((counters.retried, counters.dead_lettered), (1, 1));
    assert_eq!((counters.done, counters.refused), (2, 0));
}
