//! Messages of one key, published one after the other.

use crate::campaign::hold;
use crate::script::{MODES, Play};
use crate::sight::Sight;
use crate::step::Group::{Blocking, Keyed};
use crate::step::Isolation::ReadCommitted;
use crate::step::Start::Now;
use crate::step::Step::{Begin, Commit, Expire, Fail, Fetch, Insert, Publish, Settle, Subscribe};

pub(crate) fn pairs() -> Vec<Play> {
    let mut plays = Vec::new();
    for mode in MODES {
        for group in [Keyed, Blocking] {
            let keyed = true;
            plays.push(
                Play::new(format!("a key in sequence for {group:?}"), mode)
                    .daily(mode == MODES[1])
                    .first(1, Subscribe(group, Now))
                    .session([
                        Publish { keyed },
                        Begin(ReadCommitted),
                        Insert { keyed },
                        Commit,
                    ])
                    .session([Fetch(group, 1), Fetch(group, 1), Settle, Fetch(group, 1)]),
            );
            plays.push(
                Play::new(format!("a key with failures for {group:?}"), mode)
                    .daily(mode == MODES[1])
                    .first(1, Subscribe(group, Now))
                    .first(0, Publish { keyed })
                    .session([Publish { keyed }, Expire, Fetch(group, 10), Settle])
                    .session([Fetch(group, 10), Fail, Fetch(group, 10), Settle])
                    .must_see([Sight::Redelivered]),
            );
        }
    }
    plays
}

#[tokio::test]
async fn f2_a_key_in_sequence() {
    hold("ordering", 1, pairs()).await;
}
