//! Ticks: `tick_<topic>`, statement by statement.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Ids, Status, Tick, Ticker, World};

impl Fanout {
    /// All of it at once.
    pub(crate) fn tick(&self, world: &World, ticker: u8) -> Option<World> {
        let locked = self.tick_lock(world, ticker)?;
        let decided = self.tick_decided(&locked, ticker)?;
        let inserted = self.tick_insert(&decided, ticker)?;
        self.tick_commit(&inserted, ticker).or(Some(inserted))
    }

    /// A planted mistake: reads before it has the lock.
    pub(crate) fn tick_read(&self, world: &World, ticker: u8) -> Option<World> {
        let seen = match self.mistake {
            Mistake::TickInOneStatement => Some(world.committed()),
            Mistake::TickReadsNewestBeforeLock => None,
            _ => return None,
        };
        if *self.ticker(world, ticker)? != Ticker::Idle || !self.has_reason(world, ticker) {
            return None;
        }
        let prev = world.newest_tick();
        let mut next = world.clone();
        next.tickers[usize::from(ticker)] = Ticker::Waiting { prev, seen };
        Some(next)
    }

    /// Takes the advisory lock and, in later statements, reads the newest tick, which nobody else changes
    /// now.
    pub(crate) fn tick_lock(&self, world: &World, ticker: u8) -> Option<World> {
        if world.tickers.iter().any(Ticker::has_lock) {
            return None;
        }
        let (prev, seen) = match *self.ticker(world, ticker)? {
            Ticker::Waiting { prev, seen } => (prev, seen),
            Ticker::Idle if self.reads_before_lock() || !self.has_reason(world, ticker) => {
                return None;
            }
            _ => (world.newest_tick(), None),
        };
        self.note(Event::TickLocked);
        let mut next = world.clone();
        next.tickers[usize::from(ticker)] = Ticker::Locked { prev, seen };
        Some(next)
    }

    pub(crate) fn tick_decided(&self, world: &World, ticker: u8) -> Option<World> {
        let Ticker::Locked { prev, seen } = *self.ticker(world, ticker)? else {
            return None;
        };
        let decided = world.decider.decided.max(prev.decided);
        let mut next = world.clone();
        next.tickers[usize::from(ticker)] = Ticker::Ready {
            prev,
            seen,
            decided,
        };
        Some(next)
    }

    /// The INSERT and its snapshot; without news the call is over.
    pub(crate) fn tick_insert(&self, world: &World, ticker: u8) -> Option<World> {
        let Ticker::Ready {
            prev,
            seen,
            decided,
        } = *self.ticker(world, ticker)?
        else {
            return None;
        };
        let seen = seen.unwrap_or_else(|| world.committed());
        let fresh = seen.less(prev.seen).less(Ids::up_to(prev.decided));
        let mut next = world.clone();
        if fresh.is_empty() {
            self.note(Event::TickEmpty);
            next.tickers[usize::from(ticker)] = Ticker::Idle;
            let (newest, decided) = (next.newest_tick().number, decided);
            self.tell_subscriber(&mut next, ticker, newest, decided);
            return Some(next);
        }
        next.tickers[usize::from(ticker)] = Ticker::Inserted(Tick {
            number: world.newest_tick().number + 1,
            seen,
            ranges: fresh,
            decided,
        });
        Some(next)
    }

    /// The COMMIT, which gives the lock up.
    pub(crate) fn tick_commit(&self, world: &World, ticker: u8) -> Option<World> {
        let Ticker::Inserted(mut tick) = *self.ticker(world, ticker)? else {
            return None;
        };
        self.note(Event::Ticked);
        if world.tickers.iter().any(|t| matches!(t, Ticker::Idle)) && world.committed() != tick.seen
        {
            self.note(Event::TickedWhileOthersCommit);
        }
        if self.mistake == Mistake::TickReadsDecidedLate {
            tick.decided = tick.decided.max(world.decider.decided);
        }
        let mut next = world.clone();
        next.tickers[usize::from(ticker)] = Ticker::Idle;
        next.ticks.push(tick);
        self.tell_subscriber(&mut next, ticker, tick.number, tick.decided);
        Some(next)
    }

    fn ticker<'a>(&self, world: &'a World, ticker: u8) -> Option<&'a Ticker> {
        (ticker < self.bounds.tickers).then(|| &world.tickers[usize::from(ticker)])
    }

    fn reads_before_lock(&self) -> bool {
        matches!(
            self.mistake,
            Mistake::TickInOneStatement | Mistake::TickReadsNewestBeforeLock
        )
    }

    /// Something may be there that the newest tick does not see; or the tick is that of `subscribe`.
    fn has_reason(&self, world: &World, ticker: u8) -> bool {
        // Tickers are alike while idle: say that it is the first that begins.
        let subscribes = self.bounds.start.is_some();
        if !subscribes && world.tickers[..usize::from(ticker)].contains(&Ticker::Idle) {
            return false;
        }
        let newest = world.newest_tick();
        let known = newest.seen.or(Ids::up_to(newest.decided));
        let has_news = !world.committed().is_within(known) || !world.open().is_empty();
        has_news || self.is_subscribers(world, ticker)
    }

    /// Until the group has subscribed the first ticker's calls may be those of `subscribe`.
    fn is_subscribers(&self, world: &World, ticker: u8) -> bool {
        ticker == 0 && world.subscription.status == Status::Absent
    }

    fn tell_subscriber(&self, next: &mut World, ticker: u8, newest: u8, decided: u8) {
        if self.is_subscribers(next, ticker) {
            next.subscription.status = Status::Ticked(newest);
            next.subscription.start_decided = decided;
        }
    }
}
