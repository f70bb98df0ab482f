//! Taking spans over, and extending them.

use std::time::Duration;

use bytes::Bytes;
use fanout_core::Headers;

use super::*;
use crate::cursor::block::{Block, Page};

const LANE: Lane = Lane(0);

fn tick(number: i64, snapshot: &str) -> Tick {
    Tick {
        number,
        snapshot: Arc::new(snapshot.parse().expect("a snapshot")),
    }
}

fn page(rows: &[(i64, u64)]) -> Page {
    let row = |(id, transaction): &(i64, u64)| {
        Arc::new(LogRow {
            lane: LANE,
            id: *id,
            transaction: *transaction,
            created_at: Timestamp::UNIX_EPOCH,
            key: None,
            headers: Headers::default(),
            payload: Bytes::new(),
        })
    };
    Page {
        rows: rows.iter().map(row).collect(),
        complete: true,
    }
}

/// In the span between two ticks, of which a former owner settled 12 and 19 and not 5.
fn taken_over() -> (LaneState, Tick) {
    let (from, through) = (tick(1, "10:10:"), tick(2, "20:20:"));
    let cursor = Cursor {
        lane: LANE,
        epoch: 1,
        version: 1,
        tick: from.clone(),
        through: through.clone(),
        last_id: 0,
        ahead: "{[12,20)}".parse().expect("a set"),
        failures: BTreeMap::new(),
        blocked_until: None,
        stalls: 0,
        trial: None,
    };
    let end = Timestamp::from_micros(100);
    let mut lane = LaneState::new(GroupIndex(0), cursor, end, 5);
    lane.open(Arc::new(Block::new(from, through.clone(), false)));
    lane.take(&page(&[(5, 11), (12, 12), (19, 13)]));
    (lane, through)
}

#[test]
fn what_a_former_owner_settled_counts_as_known() {
    let (mut lane, _) = taken_over();
    assert_eq!(lane.highest(), 19, "a late message may lie below");
    let now = Timestamp::UNIX_EPOCH;
    let handed = lane.hand_out(now, 9, Duration::from_micros(1));
    assert_eq!(handed.iter().map(|h| h.row.id).collect::<Vec<_>>(), [5]);
}

#[test]
fn an_extended_span_delivers_late_messages_among_settled_ones() {
    let (mut lane, through) = taken_over();
    let now = Timestamp::UNIX_EPOCH;
    lane.hand_out(now, 9, Duration::from_micros(1));
    assert_eq!(lane.extensible_from(now), Some(&through));
    let later = Arc::new(Block::new(through, tick(3, "30:30:"), false));
    lane.extend_span(later, &page(&[(3, 21), (15, 22), (25, 23)]));
    let position = lane.position(&BTreeSet::new());
    assert_eq!(
        (position.tick, position.through, position.last_id),
        (1, 3, 0)
    );
    assert_eq!(position.ahead.to_string(), "{[12,15),[16,20)}");
    let handed = lane.hand_out(now, 9, Duration::from_micros(1));
    assert_eq!(
        handed.iter().map(|h| h.row.id).collect::<Vec<_>>(),
        [3, 15, 25]
    );
    let all = BTreeSet::from([3, 5, 15, 25]);
    assert_eq!(lane.position(&all).tick, 3, "then the span is finished");
}
