//! Settling against the takeover of what expired.

use fanout_core::CompletionMode::OffsetWatermark;

use crate::campaign::hold;
use crate::script::{MODES, Play};
use crate::sight::Sight;
use crate::step::Gate::Cursors;
use crate::step::Group::{Blocking, Keyed, Unordered};
use crate::step::Start::Now;
use crate::step::Step::{
    Commit, Drop, Expire, Fail, Fetch, Hold, Leave, Maintain, Publish, Release, Settle, Subscribe,
};

/// A member has two messages in hand when its leases end.
pub(crate) fn of_expired_lanes() -> Vec<Play> {
    let mut plays = Vec::new();
    for mode in MODES {
        for group in [Unordered, Keyed, Blocking] {
            let keyed = group != Unordered;
            let begun = |name: &str| {
                Play::new(format!("{name} of {group:?}"), mode)
                    .daily(group == Unordered || (mode, group) == (OffsetWatermark, Blocking))
                    .first(0, Subscribe(group, Now))
                    .first(0, Publish { keyed })
                    .first(0, Publish { keyed })
                    .first(0, Fetch(group, 10))
            };
            let rival = [Expire, Fetch(group, 10), Settle, Fetch(group, 10)];
            plays.push(
                begun("settle against takeover")
                    .session([Settle, Fetch(group, 10), Settle, Fetch(group, 10)])
                    .session(rival)
                    .must_see([Sight::Stale, Sight::Redelivered]),
            );
            plays.push(
                begun("fail against takeover")
                    .session([Fail, Fetch(group, 1), Settle, Fetch(group, 1)])
                    .session([Expire, Fetch(group, 1), Settle, Fail])
                    .must_see([Sight::Stale, Sight::Redelivered]),
            );
        }
        plays.push(
            Play::new("settle against maintenance and leaving", mode)
                .first(0, Subscribe(Unordered, Now))
                .first(0, Publish { keyed: false })
                .first(0, Publish { keyed: false })
                .first(0, Fetch(Unordered, 10))
                .session([Settle, Fetch(Unordered, 10), Release, Leave])
                .session([Expire, Maintain, Fetch(Unordered, 10), Settle])
                .must_see([Sight::Stale, Sight::Redelivered]),
        );
        plays.push(
            Play::new("settle against crash", mode)
                .first(0, Subscribe(Unordered, Now))
                .first(0, Publish { keyed: false })
                .first(0, Publish { keyed: false })
                .first(0, Fetch(Unordered, 1))
                .session([Settle, Fetch(Unordered, 1), Drop, Fetch(Unordered, 10)])
                .session([Expire, Fetch(Unordered, 10), Settle, Maintain])
                .must_see([Sight::Redelivered]),
        );
    }
    plays.extend(at_the_cursor());
    plays
}

/// Commit and takeover wait for the same cursor.
fn at_the_cursor() -> Vec<Play> {
    vec![
        Play::new("settle and takeover wait for the cursor", OffsetWatermark)
            .daily(false)
            .first(0, Subscribe(Keyed, Now))
            .first(0, Publish { keyed: true })
            .first(0, Publish { keyed: true })
            .first(0, Fetch(Keyed, 10))
            .session([Settle, Fetch(Keyed, 10), Settle])
            .session([Fetch(Keyed, 10), Settle, Fetch(Keyed, 10)])
            .session([Expire, Hold(Cursors), Commit])
            .must_see([Sight::Blocked, Sight::Stale, Sight::Redelivered]),
    ]
}

#[tokio::test]
async fn settle_against_takeover() {
    hold("takeover, expired lanes", 1, of_expired_lanes()).await;
}
