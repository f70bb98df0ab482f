use std::sync::Arc;

use stateright::{Model, Property};

use crate::action::Action;
use crate::bounds::Bounds;
use crate::mistake::Mistake;
use crate::properties;
use crate::reached::{Event, Reached};
use crate::world::{CatchUp, Status, Subscription, World};

/// The engine in small: what may happen within bounds, with at most one mistake.
#[derive(Debug)]
pub(crate) struct Fanout {
    pub(crate) bounds: Bounds,
    pub(crate) mistake: Mistake,
    pub(crate) reached: Arc<Reached>,
    candidates: Vec<Action>,
}

impl Fanout {
    pub(crate) fn new(bounds: Bounds, mistake: Mistake) -> Self {
        Self {
            bounds,
            mistake,
            reached: Arc::default(),
            candidates: candidates(&bounds),
        }
    }

    pub(crate) fn note(&self, event: Event) {
        self.reached.note(event);
    }

    /// Whether nothing can happen any more.
    pub(crate) fn is_over(&self, world: &World) -> bool {
        // Mostly it is plain that something can.
        let is_busy = world.members.iter().any(|member| member.commit.is_some());
        if is_busy || world.orphan.is_some() || !world.open().is_empty() {
            return false;
        }
        let mut candidates = self.candidates.iter();
        candidates.all(|action| self.step(world, *action).is_none())
    }

    fn step(&self, world: &World, action: Action) -> Option<World> {
        match action {
            Action::Draw => self.draw(world),
            Action::Insert(id) => self.insert(world, id),
            Action::Commit(id, draws) => self.commit(world, id, draws),
            Action::RollBack(id, draws) => self.roll_back(world, id, draws),
            Action::ChangeMode => self.change_mode(world),
            Action::Tick(ticker) => self.tick(world, ticker),
            Action::TickRead(ticker) => self.tick_read(world, ticker),
            Action::TickLock(ticker) => self.tick_lock(world, ticker),
            Action::TickDecided(ticker) => self.tick_decided(world, ticker),
            Action::TickInsert(ticker) => self.tick_insert(world, ticker),
            Action::TickCommit(ticker) => self.tick_commit(world, ticker),
            Action::DecideFirst => self.decide_first(world),
            Action::DecideSecond => self.decide_second(world),
            Action::Merge => self.merge(world),
            Action::Subscribe => self.subscribe(world),
            Action::CatchUpFirst => self.catch_up_first(world),
            Action::CatchUpSecond => self.catch_up_second(world),
            Action::CatchUpGive => self.catch_up_give(world),
            Action::Take(member) => self.take(world, member),
            Action::Renew(member) => self.renew(world, member),
            Action::GiveUp(member) => self.give_up(world, member),
            Action::EndLaneLease => self.end_lane_lease(world),
            Action::Maintain => self.maintain(world),
            Action::Enter(member, tick) => self.enter(world, member, tick),
            Action::Extend(member, tick) => self.extend(world, member, tick),
            Action::HandOut(member) => self.hand_out(world, member),
            Action::TakeBack(member) => self.take_back(world, member),
            Action::Note(member) => self.note_settlements(world, member),
            Action::Reread(member) => self.reread(world, member),
            Action::Done(handler) => self.done(world, handler),
            Action::Fail(handler) => self.fail(world, handler),
            Action::Tell(member) => self.tell(world, member),
            Action::Execute(member) => self.execute(world, member),
            Action::DropCall(member) => self.drop_call(world, member),
            Action::ExecuteOrphan => self.execute_orphan(world),
            Action::LoseOrphan => self.lose_orphan(world),
            Action::Unblock => self.unblock(world),
            Action::Claim(id) => self.claim(world, id),
            Action::EndLease(handler) => self.end_lease(world, handler),
            Action::RowDone(handler) => self.row_done(world, handler),
            Action::RowFail(handler) => self.row_fail(world, handler),
            Action::Prepare(handler) => self.prepare(world, handler),
            Action::InsertSettlement(handler) => self.insert_settlement(world, handler),
            Action::CheckReceipt(handler) => self.check_receipt(world, handler),
            Action::CommitSettlement(handler) => self.commit_settlement(world, handler),
            Action::UndoSettlement(handler) => self.undo_settlement(world, handler),
            Action::Fold(id) => self.fold(world, id),
            Action::FoldAgain(id) => self.fold_again(world, id),
            Action::Sweep(id) => self.sweep(world, id),
        }
        .map(|next| self.tidied(next))
    }
}

/// What could ever be tried within bounds.
fn candidates(bounds: &Bounds) -> Vec<Action> {
    use Action::{
        CatchUpFirst, CatchUpGive, CatchUpSecond, ChangeMode, CheckReceipt, Claim, Commit,
        CommitSettlement, DecideFirst, DecideSecond, Done, Draw, DropCall, EndLaneLease, EndLease,
        Enter, Execute, ExecuteOrphan, Extend, Fail, Fold, FoldAgain, GiveUp, HandOut, Insert,
        InsertSettlement, LoseOrphan, Maintain, Merge, Note, Prepare, Renew, Reread, RollBack,
        RowDone, RowFail, Subscribe, Sweep, Take, TakeBack, Tell, Tick, TickCommit, TickDecided,
        TickInsert, TickLock, TickRead, Unblock, UndoSettlement,
    };
    let of_messages = [Insert, Claim, Fold, FoldAgain, Sweep];
    let of_members = [
        Take, Renew, GiveUp, HandOut, TakeBack, Note, Reread, Tell, Execute, DropCall,
    ];
    let of_handlers = [
        Done,
        Fail,
        EndLease,
        RowDone,
        RowFail,
        Prepare,
        InsertSettlement,
        CheckReceipt,
        CommitSettlement,
        UndoSettlement,
    ];
    let of_tickers: &[fn(u8) -> Action] = if bounds.whole_ticks {
        &[Tick]
    } else {
        &[TickRead, TickLock, TickDecided, TickInsert, TickCommit]
    };
    let mut all = vec![
        Draw,
        ChangeMode,
        DecideFirst,
        DecideSecond,
        Merge,
        Subscribe,
        CatchUpFirst,
        CatchUpSecond,
        CatchUpGive,
        EndLaneLease,
        Maintain,
        ExecuteOrphan,
        LoseOrphan,
        Unblock,
    ];
    for id in 1..=bounds.messages {
        all.extend(
            of_messages
                .iter()
                .map(|action: &fn(u8) -> Action| action(id)),
        );
        for draws in 0..bounds.messages {
            all.extend([Commit(id, draws), RollBack(id, draws)]);
        }
    }
    for ticker in 0..bounds.tickers {
        all.extend(of_tickers.iter().map(|action| action(ticker)));
    }
    for member in 0..bounds.members {
        all.extend(
            of_members
                .iter()
                .map(|action: &fn(u8) -> Action| action(member)),
        );
        for tick in 1..=bounds.messages + 1 {
            all.extend([Enter(member, tick), Extend(member, tick)]);
        }
    }
    for handler in 0..6 {
        all.extend(
            of_handlers
                .iter()
                .map(|action: &fn(u8) -> Action| action(handler)),
        );
    }
    all
}

impl Model for Fanout {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let subscription = match self.bounds.start {
            None => Subscription {
                status: Status::Live,
                catch_up: CatchUp::Done,
                ..Subscription::default()
            },
            Some(_) => Subscription::default(),
        };
        self.beginnings(&World {
            counts_references: self.bounds.counts_references,
            subscription,
            budget: self.bounds.budget,
            ..World::default()
        })
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend_from_slice(&self.candidates);
        let handlers = world.handlers.len();
        assert!(handlers <= 6, "more handlers than there are actions for");
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.step(world, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
