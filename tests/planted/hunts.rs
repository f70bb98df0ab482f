//! Mistakes that the histories of E1 catch, on Postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fanout_core::ManualClock;
use fanout_core::planted::{Mistake, plant};
use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::TestDatabase;
use fanout_tests::acceptor::{Checked, Violation};
use fanout_tests::campaign::Campaign;
use fanout_tests::coverage::Seen;
use fanout_tests::driver;
use fanout_tests::history::History;
use fanout_tests::modes::Modes;
use fanout_tests::subject::{alike, on_memory, topic_names};
use fanout_tests::terms::Terms;
use tokio::runtime::{Builder, Runtime};

/// A history that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first of those that E1 runs every day, in all modes by turns.
const HISTORIES: u32 = 100;
const MAX_OPS: usize = 40;

/// Each mistake, the promise that it breaks, and what must be said of it.
pub(crate) const HUNTED: [(Mistake, &str, &str); 18] = [
    (Mistake::ReadsIdsAboveLast, "3 no loss", "comes before"),
    (Mistake::PassesUnsettled, "3 no loss", "owes also"),
    (Mistake::PassesFailed, "3 no loss", "not drained"),
    (
        Mistake::SettlesOutOfOrder,
        "10 order",
        "neither settled nor parked, got ",
    ),
    (Mistake::GoesOnWhenBlocked, "10 order", "is not due"),
    (
        Mistake::IgnoresDelivery,
        "4 one effective settlement",
        "the receipt is stale, got ",
    ),
    (Mistake::ExpiresEarly, "5 exclusive lease", "is leased"),
    (
        Mistake::ForgetsOldPath,
        "13 mode independence",
        "not drained",
    ),
    (Mistake::StartsOffByOne, "3 no loss", "owes also"),
    (Mistake::CatchesUpOnce, "3 no loss", "remaining: "),
    (Mistake::SkipsTrackingRow, "3 no loss", "owes also"),
    (
        Mistake::IgnoresToken,
        "4 one effective settlement",
        "the receipt is stale, got ",
    ),
    (
        Mistake::SettlesForNonMembers,
        "11 the required set is a set",
        "accounting: ",
    ),
    (
        Mistake::FoldsNothing,
        "4 one effective settlement",
        "does not owe",
    ),
    (
        Mistake::MergesTicksInUse,
        "15 liveness",
        "a tick that is gone",
    ),
    (
        Mistake::MarksUnsettled,
        "14 watermark",
        "not all is settled",
    ),
    (
        Mistake::RemainsNothingYet,
        "what remains of a mode",
        "remaining: ",
    ),
    (
        Mistake::RemainsSettled,
        "what remains of a mode",
        "remaining: ",
    ),
];

/// A database that was migrated with a mistake in force.
struct Subject {
    runtime: Runtime,
    backend: PostgresBackend,
    clock: Arc<ManualClock>,
    histories: AtomicU32,
    database: Option<TestDatabase>,
}

impl Subject {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let clock = Arc::new(ManualClock::default());
        let (database, backend) = runtime.block_on(async {
            let database = TestDatabase::empty().await.expect("a database can be made");
            Migrator::new(database.url()).up().await.expect("migrates");
            let backend = PostgresBackend::builder(database.url())
                .pool_size(6)
                // What they leave alone for a while of real time would not be drained.
                .rest(Duration::MAX, Duration::ZERO)
                .clock(clock.clone())
                .connect()
                .await
                .expect("the engine opens");
            (database, backend)
        });
        Self {
            runtime,
            backend,
            clock,
            histories: AtomicU32::new(0),
            database: Some(database),
        }
    }

    /// Runs a history in one of the modes, one after the other, and on the memory engine.
    fn run(&self, history: &History) -> Checked<Seen> {
        let number = self.histories.fetch_add(1, Relaxed);
        let modes = Modes::ALL[number as usize % Modes::ALL.len()];
        self.runtime.block_on(async {
            let (expected, _) = on_memory(history, modes, |memory| memory).await?;
            let (topics, terms) = (topic_names(number), Terms::postgres(modes));
            let run = driver::run(&self.backend, &self.clock, &topics, terms, history);
            let ran = tokio::time::timeout(PATIENCE, run).await;
            let ran = ran.unwrap_or_else(|_| Err(Violation::new("the history hangs")));
            let (ending, seen) = ran.map_err(|violation| violation.during(modes))?;
            alike(vec![("memory", expected), ("postgres", ending)])?;
            Ok(seen)
        })
    }
}

impl Drop for Subject {
    /// The database goes with it, which takes a runtime.
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.database.take();
    }
}

/// The first line of why a history was rejected, and how many had been run by then.
fn hunt() -> Option<(String, u32)> {
    let subject = Subject::start();
    let campaign = Campaign::hunt(HISTORIES, MAX_OPS);
    let failure = campaign.run(|history| subject.run(history)).err()?;
    let reason = failure.reason.lines().next().unwrap_or_default().to_owned();
    Some((reason, subject.histories.load(Relaxed)))
}

#[test]
fn the_histories_of_e1_catch_mistakes() {
    let _alone = crate::one_at_a_time();
    let mut escaped = Vec::new();
    for (mistake, promise, symptom) in HUNTED {
        plant(Some(mistake));
        let began = Instant::now();
        let caught = hunt();
        let took = began.elapsed().as_secs_f64();
        plant(None);
        match caught {
            Some((reason, after)) => {
                println!("{mistake:?} (promise {promise}), history {after}, {took:.1} s: {reason}");
                if !reason.contains(symptom) {
                    escaped.push((
                        mistake,
                        format!("rejected, but not as `{symptom}`: {reason}"),
                    ));
                }
            }
            None => escaped.push((mistake, "accepted".to_owned())),
        }
    }
    assert!(escaped.is_empty(), "not caught: {escaped:#?}");
}
