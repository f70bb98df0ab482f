//! Messages of a key that were published one after the other come first in that order, and none is
//! settled while an earlier one is neither settled nor parked.

use fanout_core::{GroupIndex, MessageId};

use super::{Verdict, ensure};
use crate::facts::Reading;
use crate::history::Event;
use crate::story::{Published, Story};

pub(crate) fn check(story: &Story) -> Verdict {
    let published = story.published();
    for reading in story
        .before_drain
        .subscriptions
        .iter()
        .filter(|reading| reading.ordered)
    {
        for before in &published {
            for after in &published {
                if in_sequence(story, before, after) && owes_both(story, reading, before, after) {
                    in_order(story, reading, before.id, after.id)?;
                }
            }
        }
    }
    Ok(())
}

fn in_sequence(story: &Story, before: &Published, after: &Published) -> bool {
    let key = |message: &Published| {
        story
            .stored(message.id)
            .and_then(|stored| stored.key.clone())
    };
    let first = before
        .committed
        .is_some_and(|(_, ended)| ended < after.began);
    first && after.committed.is_some() && key(before).is_some() && key(before) == key(after)
}

fn owes_both(story: &Story, reading: &Reading, before: &Published, after: &Published) -> bool {
    [before, after].iter().all(|message| {
        story
            .stored(message.id)
            .is_some_and(|stored| reading.owes(stored))
    })
}

fn in_order(story: &Story, reading: &Reading, before: i64, after: i64) -> Verdict {
    let bit = GroupIndex(reading.bit.cast_unsigned());
    // The first delivery of a message: the event, and the place in it.
    let first = |id: i64| {
        let mut deliveries: Vec<(&Event, usize)> = Vec::new();
        for (place, handed) in story.handed().iter().enumerate() {
            if handed.of() == (bit, MessageId(id)) {
                deliveries.push((handed.event, place));
            }
        }
        deliveries
            .into_iter()
            .min_by_key(|(event, place)| (event.ended, *place))
    };
    if let Some((came, place)) = first(after) {
        let in_time = first(before).is_some_and(|(earlier, earlier_place)| {
            if std::ptr::eq(earlier, came) {
                earlier_place < place
            } else {
                earlier.began <= came.ended
            }
        });
        ensure(in_time, || {
            format!("{} got message {after} before {before}", reading.group)
        })?;
    }
    // When it stopped to hold up the later one, at the earliest.
    let left = story
        .said()
        .iter()
        .filter(|said| said.of() == (bit, MessageId(before)))
        .filter(|said| said.settles() || reading.group != "blocking" && said.lets_go())
        .map(|said| said.event.began)
        .chain(
            story
                .settled_in()
                .iter()
                .filter(|within| within.of() == (bit, MessageId(before)))
                .map(|within| within.call.began),
        )
        .min();
    let settled = story.settled().get(&(bit, MessageId(after))).copied();
    ensure(
        settled.is_none_or(|ended| left.is_some_and(|began| began <= ended)),
        || format!("{} settled message {after} before {before}", reading.group),
    )
}
