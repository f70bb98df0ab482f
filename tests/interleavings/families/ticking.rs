//! Ticks, and publishers that commit late.

use fanout_core::CompletionMode::OffsetWatermark;

use crate::campaign::hold;
use crate::script::{MODES, Play};
use crate::sight::Sight;
use crate::step::Gate::Ticks;
use crate::step::Group::{Keyed, Unordered};
use crate::step::Isolation::{ReadCommitted, Serializable};
use crate::step::Start::Now;
use crate::step::Step::{
    Begin, Commit, Fetch, Hold, Insert, Maintain, Publish, Rollback, Settle, Subscribe, Tick,
    TickIn,
};

/// Two sessions take ticks while a publisher commits; one of them holds the lock before its snapshot.
pub(crate) fn two_tickers() -> Vec<Play> {
    vec![
        Play::new("two tickers and a late commit", OffsetWatermark)
            .first(0, Subscribe(Unordered, Now))
            .first(0, Publish { keyed: false })
            .session([Hold(Ticks), TickIn, Commit])
            .session([Tick { wait: true }, Fetch(Unordered, 10), Settle])
            .session([Begin(ReadCommitted), Insert { keyed: false }, Commit])
            .must_see([Sight::Blocked]),
        Play::new("two tickers, a late commit and a reader", OffsetWatermark)
            .daily(false)
            .first(0, Subscribe(Unordered, Now))
            .first(0, Publish { keyed: false })
            .session([Hold(Ticks), TickIn, Commit, Tick { wait: true }])
            .session([
                Tick { wait: true },
                Fetch(Unordered, 10),
                Settle,
                Fetch(Unordered, 10),
            ])
            .session([
                Begin(ReadCommitted),
                Insert { keyed: false },
                Commit,
                Publish { keyed: false },
            ])
            .must_see([Sight::Blocked]),
    ]
}

/// Publishers whose ids commit out of order, while a member reads.
fn late_commits() -> Vec<Play> {
    vec![
        Play::new("two publishers and a reader", OffsetWatermark)
            .daily(false)
            .first(2, Subscribe(Keyed, Now))
            .session([Begin(ReadCommitted), Insert { keyed: true }, Commit])
            .session([Begin(Serializable), Insert { keyed: true }, Commit])
            .session([Fetch(Keyed, 10), Settle, Fetch(Keyed, 10)]),
    ]
}

pub(crate) fn late_commit_pairs() -> Vec<Play> {
    let mut plays = Vec::new();
    for mode in MODES {
        for group in [Unordered, Keyed] {
            let keyed = group == Keyed;
            let publisher = [
                Begin(ReadCommitted),
                Insert { keyed },
                Insert { keyed },
                Commit,
            ];
            plays.push(
                Play::new(format!("late commit, tick and fetch of {group:?}"), mode)
                    .daily(group == Unordered || mode == OffsetWatermark)
                    .first(1, Subscribe(group, Now))
                    .session(publisher)
                    .session([
                        Publish { keyed },
                        Fetch(group, 10),
                        Settle,
                        Fetch(group, 10),
                    ]),
            );
            plays.push(
                Play::new(format!("late commit and maintenance of {group:?}"), mode)
                    .daily(mode == OffsetWatermark)
                    .first(1, Subscribe(group, Now))
                    .session(publisher)
                    .session([Publish { keyed }, Maintain, Fetch(group, 1), Maintain]),
            );
        }
    }
    plays.push(
        Play::new("late rollback, tick and fetch", OffsetWatermark)
            .first(1, Subscribe(Unordered, Now))
            .session([
                Begin(ReadCommitted),
                Insert { keyed: false },
                Rollback,
                Publish { keyed: false },
            ])
            .session([
                Tick { wait: false },
                Fetch(Unordered, 10),
                Settle,
                Fetch(Unordered, 10),
            ]),
    );
    plays.extend(late_commits());
    plays
}

#[tokio::test]
async fn two_tickers_and_a_late_commit() {
    hold("ticking, two tickers", 1, two_tickers()).await;
}

#[tokio::test]
async fn late_commits_against_a_reader() {
    hold("ticking, late commits", 1, late_commit_pairs()).await;
}
