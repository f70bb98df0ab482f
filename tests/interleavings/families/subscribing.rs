//! Subscribing while others publish: nothing falls between what lies before the start and what the group
//! is owed.

use crate::campaign::hold;
use crate::script::{MODES, Play};
use crate::sight::Sight;
use crate::step::Gate::{Leaf, Membership, Records};
use crate::step::Group::{Keyed, Unordered};
use crate::step::Isolation::{self, ReadCommitted};
use crate::step::Start;
use crate::step::Step::{
    Begin, Commit, Fetch, Hold, Insert, Maintain, Mode, Publish, Rollback, Settle, Subscribe, Tick,
};

/// Publishers at each isolation level, open across the subscription.
pub(crate) fn against_publishers() -> Vec<Play> {
    let mut plays = Vec::new();
    for mode in MODES {
        for isolation in Isolation::ALL {
            for (group, start) in [
                (Unordered, Start::Now),
                (Keyed, Start::Now),
                (Unordered, Start::Beginning),
            ] {
                let keyed = group == Keyed;
                let name = format!("subscribe {group:?} {start:?} against publish {isolation:?}");
                plays.push(
                    Play::new(name, mode)
                        .daily(
                            isolation == ReadCommitted || (group, start) == (Unordered, Start::Now),
                        )
                        .session([
                            Begin(isolation),
                            Insert { keyed },
                            Commit,
                            Publish { keyed },
                        ])
                        .session([
                            Subscribe(group, start),
                            Fetch(group, 10),
                            Settle,
                            Fetch(group, 10),
                        ]),
                );
            }
        }
        plays.push(
            Play::new("subscribe against publishers that roll back", mode)
                .session([
                    Begin(ReadCommitted),
                    Insert { keyed: false },
                    Rollback,
                    Publish { keyed: false },
                ])
                .session([
                    Subscribe(Unordered, Start::Now),
                    Fetch(Unordered, 10),
                    Settle,
                    Fetch(Unordered, 10),
                ]),
        );
    }
    plays
}

/// `subscribe` is stopped between its tick and its transaction.
pub(crate) fn in_the_middle() -> Vec<Play> {
    let mut plays: Vec<Play> = MODES
        .map(|mode| {
            Play::new("subscribe stopped behind its tick", mode)
                .daily(mode == MODES[1])
                .session([Begin(ReadCommitted), Insert { keyed: false }, Commit])
                .session([
                    Subscribe(Unordered, Start::Now),
                    Fetch(Unordered, 10),
                    Settle,
                ])
                .session([Hold(Membership), Tick { wait: false }, Commit])
                .must_see([Sight::Blocked])
        })
        .into();
    plays.extend(stopped_publishers());
    plays.push(
        Play::new("subscribe, publish and change of mode", MODES[0])
            .daily(false)
            .session([
                Begin(ReadCommitted),
                Insert { keyed: false },
                Commit,
                Publish { keyed: false },
            ])
            .session([
                Subscribe(Unordered, Start::Now),
                Fetch(Unordered, 10),
                Settle,
                Fetch(Unordered, 10),
            ])
            .session([
                Mode(MODES[1]),
                Publish { keyed: false },
                Mode(MODES[0]),
                Maintain,
            ]),
    );
    plays
}

/// A publisher is stopped between drawing its ids and inserting, or before its tracking rows.
fn stopped_publishers() -> Vec<Play> {
    let plays = [(Leaf, MODES[1]), (Records, MODES[0])].map(|(gate, mode)| {
        Play::new(format!("publisher stopped at {gate:?}"), mode)
            .daily(false)
            .session([Begin(ReadCommitted), Insert { keyed: false }, Commit])
            .session([
                Subscribe(Unordered, Start::Now),
                Fetch(Unordered, 10),
                Settle,
            ])
            .session([Hold(gate), Tick { wait: false }, Commit])
            .must_see([Sight::Blocked])
    });
    plays.into()
}

#[tokio::test]
async fn f5_subscribe_against_publishers() {
    hold("subscribing, publishers", 1, against_publishers()).await;
}

#[tokio::test]
async fn f5_c4_calls_stopped_in_the_middle() {
    hold("subscribing, in the middle", 1, in_the_middle()).await;
}
