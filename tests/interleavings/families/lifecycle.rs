//! Cancelling and seeking while messages are in hand.

use crate::campaign::hold;
use crate::script::{MODES, Play};
use crate::sight::Sight;
use crate::step::Group::{Keyed, Unordered};
use crate::step::Isolation::ReadCommitted;
use crate::step::Start::{Beginning, Now};
use crate::step::Step::{
    Begin, Cancel, Commit, Fetch, Insert, Maintain, Publish, Seek, Settle, SettleIn, Subscribe,
};

pub(crate) fn pairs() -> Vec<Play> {
    let mut plays = Vec::new();
    for mode in MODES {
        for group in [Unordered, Keyed] {
            let keyed = group == Keyed;
            let begun = |name: &str| {
                Play::new(format!("{name} of {group:?}"), mode)
                    .daily((group == Unordered) == (mode == MODES[0]))
                    .first(0, Subscribe(group, Now))
                    .first(0, Publish { keyed })
                    .first(0, Publish { keyed })
                    .first(0, Fetch(group, 1))
            };
            let consumer = [Settle, Fetch(group, 10), Settle, Fetch(group, 10)];
            let transaction = [Begin(ReadCommitted), SettleIn, Commit, Fetch(group, 10)];
            plays.extend([
                begun("settle against cancel")
                    .session(consumer)
                    .session([
                        Cancel(group),
                        Subscribe(group, Now),
                        Publish { keyed },
                        Maintain,
                    ])
                    .must_see([Sight::Ended, Sight::Stale]),
                begun("settle against seek")
                    .session(consumer)
                    .session([Seek(group, Beginning), Fetch(group, 10), Settle, Maintain])
                    .must_see([Sight::Stale]),
                begun("settle in against seek")
                    .session(transaction)
                    .session([Seek(group, Beginning), Fetch(group, 10), Settle, Maintain])
                    .must_see([Sight::StaleIn]),
                begun("settle in against cancel")
                    .session(transaction)
                    .session([
                        Cancel(group),
                        Maintain,
                        Subscribe(group, Now),
                        Publish { keyed },
                    ])
                    .must_see([Sight::StaleIn, Sight::Ended]),
                begun("publish against cancel")
                    .session([
                        Begin(ReadCommitted),
                        Insert { keyed },
                        Commit,
                        Publish { keyed },
                    ])
                    .session([
                        Cancel(group),
                        Subscribe(group, Now),
                        Fetch(group, 10),
                        Settle,
                    ]),
                begun("publish against seek")
                    .session([
                        Begin(ReadCommitted),
                        Insert { keyed },
                        Commit,
                        Publish { keyed },
                    ])
                    .session([Seek(group, Now), Fetch(group, 10), Settle, Fetch(group, 10)]),
            ]);
        }
    }
    plays
}

#[tokio::test]
async fn cancel_and_seek() {
    hold("cancel and seek", 1, pairs()).await;
}
