//! Settling inside callers' transactions, against redelivery, folding and plain settlements.

use crate::campaign::hold;
use crate::script::{MODES, Play};
use crate::sight::Sight;
use crate::step::Gate::Settlements;
use crate::step::Group::{Keyed, Unordered};
use crate::step::Isolation::{self, ReadCommitted};
use crate::step::Start::Now;
use crate::step::Step::{
    Begin, Commit, Drop, Expire, Fetch, Hold, Maintain, Publish, Settle, SettleIn, Subscribe,
};

/// One message is in hand of the first session.
pub(crate) fn pairs() -> Vec<Play> {
    let mut plays = Vec::new();
    for mode in MODES {
        let begun = |name: String, daily, group, messages: usize| {
            let mut play = Play::new(name, mode)
                .daily(daily)
                .first(0, Subscribe(group, Now));
            for _ in 0..messages {
                play = play.first(
                    0,
                    Publish {
                        keyed: group == Keyed,
                    },
                );
            }
            play.first(0, Fetch(group, 10))
        };
        for isolation in Isolation::ALL {
            let daily = isolation != Isolation::Serializable;
            plays.push(
                begun(
                    format!("two holders settle {isolation:?}"),
                    daily,
                    Unordered,
                    1,
                )
                .session([Begin(isolation), SettleIn, Expire, Commit])
                .session([Fetch(Unordered, 10), Begin(isolation), SettleIn, Commit])
                .must_see([Sight::Blocked, Sight::Redelivered]),
            );
            plays.push(
                begun(
                    format!("settle in against redelivery {isolation:?}"),
                    daily,
                    Keyed,
                    2,
                )
                .session([Begin(isolation), SettleIn, Commit, Fetch(Keyed, 10)])
                .session([Expire, Fetch(Keyed, 10), Settle, Fetch(Keyed, 10)])
                .must_see([Sight::StaleIn, Sight::Redelivered]),
            );
        }
        plays.push(
            begun("settle in against folding".to_owned(), true, Unordered, 2)
                .session([Begin(ReadCommitted), SettleIn, Commit, Fetch(Unordered, 10)])
                .session([Maintain, Expire, Maintain, Fetch(Unordered, 10)])
                .must_see([Sight::Redelivered]),
        );
        plays.push(
            begun("settle in against crash".to_owned(), true, Unordered, 1)
                .session([Begin(ReadCommitted), SettleIn, Drop, Fetch(Unordered, 10)])
                .session([Expire, Fetch(Unordered, 10), Settle, Maintain])
                .must_see([Sight::Redelivered]),
        );
    }
    plays
}

/// A transaction is stopped before it inserts its settlement; meanwhile the lease ends and another settles.
pub(crate) fn stopped() -> Vec<Play> {
    let mut plays: Vec<Play> = MODES
        .map(|mode| {
            Play::new("settle in stopped before it inserts", mode)
                .daily(mode == MODES[1])
                .first(0, Subscribe(Unordered, Now))
                .first(0, Publish { keyed: false })
                .first(0, Fetch(Unordered, 10))
                .session([Begin(ReadCommitted), SettleIn, Commit])
                .session([Fetch(Unordered, 10), Settle, Fetch(Unordered, 10)])
                .session([Hold(Settlements), Expire, Commit])
                .must_see([Sight::Blocked, Sight::StaleIn, Sight::Redelivered])
        })
        .into();
    plays.push(
        Play::new("settle in, redelivery and folding", MODES[0])
            .daily(false)
            .first(0, Subscribe(Unordered, Now))
            .first(0, Publish { keyed: false })
            .first(0, Fetch(Unordered, 10))
            .session([Begin(ReadCommitted), SettleIn, Commit, Fetch(Unordered, 10)])
            .session([Fetch(Unordered, 10), Settle, Fetch(Unordered, 10), Settle])
            .session([Expire, Maintain, Expire, Publish { keyed: false }])
            .must_see([Sight::StaleIn, Sight::Redelivered]),
    );
    plays
}

#[tokio::test]
async fn settle_in_pairs() {
    hold("transactions", 1, pairs()).await;
}

#[tokio::test]
async fn settle_in_stopped() {
    hold("transactions, stopped", 1, stopped()).await;
}
