//! Model checking: the engine in small, and every order of its steps.
//!
//! One topic with one lane, one group, a few messages of one key. Within [bounds] all interleavings are explored with
//! `stateright`, and the [properties], which are promises of the contract by their numbers, hold in every
//! state. [Planted mistakes](mistake) show that each of them can fail. `FANOUT_FULL=1` takes larger bounds.
//!
//! A step is what the database does at one moment: a statement's snapshot with what it reads, or a commit. So an
//! order that the database allows is an order of the model.
//!
//! | steps of the model | in the engine |
//! |---|---|
//! | `Draw`, `Insert`, `Commit`, `RollBack` | `fanout.publish`: lock and id; INSERT and trigger, which read mode and subscriptions; end of the caller's transaction |
//! | `ChangeMode` | UPDATE of `completion_mode` |
//! | `TickLock`, `TickDecided`, `TickInsert`, `TickCommit` | `tick_<topic>`: lock and newest tick; decided id; INSERT with its snapshot; commit. `Tick` is all of them |
//! | `DecideFirst`, `DecideSecond` | `decide`: the sequence; the publishers, and commit |
//! | `Merge` | `merge_ticks`, whole under the merge lock |
//! | `Subscribe` | the transaction of `subscribe` after its tick: `begin_at`, `create_cursors` |
//! | `CatchUpFirst`, `CatchUpSecond`, `CatchUpGive` | `catch_up`: the sequence; the publishers; what is missing, and commit |
//! | `Take`, `Renew`, `GiveUp` | `hold_lanes`: lease, epoch and member's row, one transaction |
//! | `Maintain` | `advance_free_lanes` |
//! | `Enter`, `Extend` | `read_<topic>`; what the member makes of it |
//! | `HandOut`, `TakeBack` | in memory, as of a look |
//! | `Note`, `Reread` | `lane_settlements`, `read_cursors` |
//! | `Done`, `Fail`, `Tell` | judged in memory; then `commit_cursors` takes its snapshot |
//! | `Execute` | `commit_cursors` locks the cursor, compares it as it is now, changes it or not; parks and folds; commits |
//! | `DropCall`, `ExecuteOrphan`, `LoseOrphan` | the future of `settle` is dropped; its commit happens later, or never |
//! | `Claim`, `RowDone`, `RowFail` | `claim_<topic>`, `settle_<topic>`, `fail`: they lock the row |
//! | `Prepare`, `InsertSettlement`, `CheckReceipt`, `CommitSettlement`, `UndoSettlement` | `settle_in`: the owner's answer; `settle_lanes_in` or `fanout.settle_in`: INSERT; later statement; end of the caller's transaction |
//! | `Fold`, `Sweep` | `fold`, `sweep_lane_settlements` |
//! | `EndLaneLease`, `EndLease`, `Unblock` | the clock passes `expires_at`, `until`, `blocked_until` |
//!
//! The model found two flaws in the engine: before it, a cursor was read again without raising the version, and a
//! commit removed the settlement of a message that was parked. [`RereadsWithoutFence`](mistake::Mistake) and
//! `FoldsParkedByCursor` are that engine.
//!
//! Some steps are left out or joined where that hides no order:
//!
//! - A receipt that is stale for good goes at once: whoever uses it is told, and nothing changes.
//! - Epochs and versions are numbered anew after each step, since only whether they are those of the cursor
//!   matters. Members, and tickers, that nothing tells apart are not permuted.
//! - Where neither mode nor subscriptions change and no ids are decided, ids are drawn right after commits, as it
//!   matters only what had committed before.
//! - A claim takes one message and belongs to no member.
//!
//! Not in the model: several lanes, groups or keys; attempts, dead letters, stalls and trials; cancellation and seek;
//! retention; lost servers.

mod action;
mod bounds;
mod fanout;
mod mistake;
mod planted;
mod properties;
mod reached;
mod report;
mod scenarios;
mod sound;
mod steps;
mod world;
