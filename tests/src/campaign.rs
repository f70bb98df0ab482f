//! Runs many histories, and shrinks the first that fails.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread;

use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};

use crate::acceptor::Checked;
use crate::coverage::{Coverage, Seen};
use crate::generate::histories;
use crate::history::History;
use crate::minimise::minimise;
use crate::size::full;

/// After this long the rest is left to [`minimise`].
const MAX_SHRINK_MILLIS: u32 = 60_000;

/// How many histories of which size, and where failures are kept.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub histories: u32,
    pub max_ops: usize,
    /// A file of seeds that failed once: they are tried first.
    pub regressions: Option<&'static str>,
    pub max_shrinks: u32,
    /// Of the first history; the others follow from it.
    pub seed: u64,
}

/// A history that failed, as small as it got.
#[derive(Debug)]
pub struct Failure {
    pub reason: String,
    pub history: History,
    pub seed: u64,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\nshrunk history:\n{:?}", self.reason, self.history)?;
        write!(f, "repeat with FANOUT_SEED={}", self.seed)
    }
}

impl Campaign {
    /// This many histories every day; ten times as many with `FANOUT_FULL=1`.
    pub fn everyday(histories: u32, max_ops: usize, regressions: &'static str) -> Self {
        Self {
            histories: if full() { 10 * histories } else { histories },
            max_ops,
            regressions: Some(regressions),
            max_shrinks: 20_000,
            seed: seed(),
        }
    }

    /// The histories of every day, at any size, so that whoever looks for a mistake finds it always or never.
    pub fn hunt(histories: u32, max_ops: usize) -> Self {
        Self {
            histories,
            max_ops,
            regressions: None,
            max_shrinks: 0,
            seed: EVERYDAY,
        }
    }

    /// Runs the histories.
    pub fn run(&self, test: impl Fn(&History) -> Checked<Seen>) -> Result<Coverage, Box<Failure>> {
        self.run_from(self.seed, test)
    }

    fn run_from(
        &self,
        seed: u64,
        test: impl Fn(&History) -> Checked<Seen>,
    ) -> Result<Coverage, Box<Failure>> {
        let persistence = self
            .regressions
            .map(|file| Box::new(FileFailurePersistence::Direct(file)) as Box<_>);
        let config = Config {
            cases: self.histories,
            failure_persistence: persistence,
            max_shrink_iters: self.max_shrinks,
            max_shrink_time: MAX_SHRINK_MILLIS,
            rng_seed: RngSeed::Fixed(seed),
            ..Config::default()
        };
        let coverage = RefCell::new(Coverage::default());
        let result = TestRunner::new(config).run(&histories(self.max_ops), |history| {
            let seen =
                test(&history).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
            coverage.borrow_mut().add(&seen);
            Ok(())
        });
        match result {
            Ok(()) => Ok(coverage.into_inner()),
            Err(TestError::Fail(reason, history)) => {
                let mut reason = reason.message().to_owned();
                let mut smallest = history;
                if self.max_shrinks > 0 {
                    smallest = minimise(smallest, |history| test(history).is_err());
                    if let Err(violation) = test(&smallest) {
                        reason = violation.to_string();
                    }
                }
                Err(Box::new(Failure {
                    reason,
                    history: smallest,
                    seed,
                }))
            }
            Err(TestError::Abort(reason)) => panic!("the run was given up: {reason}"),
        }
    }

    /// Runs the histories in parts side by side, each with histories of its own and a test of its own, and
    /// returns what they met. Kept regressions run in every part.
    ///
    /// # Panics
    /// When one fails, with the smallest that does; when they met too little.
    pub fn must_pass<T: Fn(&History) -> Checked<Seen> + Send>(&self, parts: Vec<T>) -> Coverage {
        let part = &Self {
            histories: self.histories.div_ceil(parts.len() as u32),
            ..self.clone()
        };
        let ran: Vec<_> = thread::scope(|scope| {
            let seeds = (0..).map(|number| self.seed.wrapping_add(number));
            let running: Vec<_> = parts
                .into_iter()
                .zip(seeds)
                .map(|(test, seed)| scope.spawn(move || part.run_from(seed, test)))
                .collect();
            let ended = running.into_iter().map(|run| run.join());
            ended.map(|run| run.expect("it ends")).collect()
        });
        let mut coverage = Coverage::default();
        for part in ran {
            // The parts' seeds follow from that of the first.
            let failed = |failure: Box<Failure>| -> ! {
                let seed = self.seed;
                panic!("{}", Failure { seed, ..*failure })
            };
            coverage.add_all(&part.unwrap_or_else(|failure| failed(failure)));
        }
        coverage.check();
        coverage
    }
}

/// The seed of every day.
const EVERYDAY: u64 = 20_251_112;

fn seed() -> u64 {
    match std::env::var("FANOUT_SEED") {
        Ok(seed) => seed.parse().expect("FANOUT_SEED is a number"),
        // New histories at the full size, from the randomness that the standard library takes from
        // the system; the same ones every day, so that a change meets what it broke itself.
        Err(_) if full() => RandomState::new().build_hasher().finish(),
        Err(_) => EVERYDAY,
    }
}
