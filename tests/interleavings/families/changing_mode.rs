//! The mode changes while publishers are open and messages are in hand.

use super::other;
use crate::campaign::hold;
use crate::script::{MODES, Play};
use crate::sight::Sight;
use crate::step::Group::{self, Keyed, Unordered};
use crate::step::Isolation::{ReadCommitted, RepeatableRead};
use crate::step::Start::Now;
use crate::step::Step::{
    Begin, Commit, Expire, Fetch, Insert, Maintain, Mode, Publish, Settle, SettleIn, Subscribe,
};

/// What an unordered group gets must have come by both paths.
fn by_both_paths(play: Play, group: Group) -> Play {
    play.must_see((group == Unordered).then_some(Sight::BothForms))
}

/// There and back, with a message in between.
fn with_open_publisher() -> Vec<Play> {
    let plays = [(MODES[0], Unordered), (MODES[1], Keyed)].map(|(mode, group)| {
        let keyed = group == Keyed;
        let play = Play::new(format!("mode change against publish and {group:?}"), mode)
            .daily(group == Unordered)
            .first(1, Subscribe(group, Now))
            .session([Begin(ReadCommitted), Insert { keyed }, Commit])
            .session([Fetch(group, 10), Settle, Fetch(group, 10)])
            .session([Mode(other(mode)), Publish { keyed }, Mode(mode)]);
        by_both_paths(play, group)
    });
    plays.into()
}

pub(crate) fn pairs() -> Vec<Play> {
    let mut plays = Vec::new();
    for mode in MODES {
        for group in [Unordered, Keyed] {
            let keyed = group == Keyed;
            let there_and_back = [
                Mode(other(mode)),
                Publish { keyed },
                Mode(mode),
                Publish { keyed },
            ];
            plays.push(by_both_paths(
                Play::new(format!("mode change against subscribe {group:?}"), mode)
                    .daily((group == Unordered) == (mode == MODES[0]))
                    .first(0, Publish { keyed })
                    .session(there_and_back)
                    .session([
                        Subscribe(group, Now),
                        Fetch(group, 10),
                        Settle,
                        Fetch(group, 10),
                    ]),
                group,
            ));
            plays.push(by_both_paths(
                Play::new(format!("mode change against settle in of {group:?}"), mode)
                    .daily((group == Unordered) == (mode == MODES[0]))
                    .first(1, Subscribe(group, Now))
                    .first(0, Publish { keyed })
                    .first(1, Fetch(group, 10))
                    .session(there_and_back)
                    .session([Begin(ReadCommitted), SettleIn, Commit, Fetch(group, 10)]),
                group,
            ));
            plays.push(by_both_paths(
                Play::new(format!("mode change against takeover of {group:?}"), mode)
                    .daily((group == Unordered) == (mode == MODES[0]))
                    .first(1, Subscribe(group, Now))
                    .first(0, Publish { keyed })
                    .first(1, Fetch(group, 10))
                    .session([
                        Mode(other(mode)),
                        Publish { keyed },
                        Expire,
                        Fetch(group, 10),
                    ])
                    .session([Settle, Fetch(group, 10), Settle, Maintain]),
                group,
            ));
        }
        plays.push(
            Play::new("mode change against publish above read committed", mode)
                .first(1, Subscribe(Unordered, Now))
                .session([
                    Begin(RepeatableRead),
                    Insert { keyed: false },
                    Commit,
                    Publish { keyed: false },
                ])
                .session([Mode(other(mode)), Fetch(Unordered, 10), Settle, Mode(mode)]),
        );
    }
    plays.extend(with_open_publisher());
    plays
}

#[tokio::test]
async fn x1_mode_changes() {
    hold("mode change", 1, pairs()).await;
}
