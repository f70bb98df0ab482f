//! What a group is owed is what the rule of its start says, and all of it is delivered and settled.

use std::collections::BTreeSet;

use super::{Verdict, ensure};
use crate::facts::{Reading, snapshot};
use crate::history::Event;
use crate::step::{Group, Step};
use crate::story::Story;

pub(crate) fn check(story: &Story) -> Verdict {
    for group in [Group::Unordered, Group::Keyed, Group::Blocking] {
        let mut live = story.before_drain.live();
        if let Some(reading) = live.find(|reading| reading.group == group.name()) {
            start_is_true(story, group, reading)?;
        }
    }
    only_what_is_owed_comes(story)?;
    let settled = story.settled();
    for reading in story.before_drain.live() {
        let owed = reading.owed(&story.before_drain.log);
        let bit = fanout_core::GroupIndex(reading.bit.cast_unsigned());
        let is_settled = |id: &i64, before: u64| {
            let ended = settled.get(&(bit, fanout_core::MessageId(*id)));
            ended.is_some_and(|ended| *ended <= before)
        };
        let of_sessions = story.last_round;
        let unsettled: BTreeSet<i64> = owed
            .iter()
            .copied()
            .filter(|id| !is_settled(id, of_sessions))
            .collect();
        ensure(reading.pending == unsettled, || {
            format!(
                "{} has not settled {unsettled:?}, and {:?} are pending",
                reading.group, reading.pending
            )
        })?;
        let lost: Vec<i64> = owed
            .into_iter()
            .filter(|id| !is_settled(id, u64::MAX))
            .collect();
        ensure(lost.is_empty(), || {
            format!("{} never got {lost:?}", reading.group)
        })?;
    }
    for reading in story.after_drain.live() {
        ensure(reading.pending.is_empty(), || {
            format!("{} still owes {:?}", reading.group, reading.pending)
        })?;
    }
    Ok(())
}

/// What was committed before a group began to subscribe, the tick of its start sees; what was begun to be
/// committed after, it does not.
fn start_is_true(story: &Story, group: Group, reading: &Reading) -> Verdict {
    let Some(start) = start_of(story, group) else {
        return Ok(());
    };
    let seen = snapshot(&reading.start);
    for message in story.published() {
        let (Some((began, ended)), Some(stored)) = (message.committed, story.stored(message.id))
        else {
            continue;
        };
        let is_seen = seen.sees(stored.tx);
        ensure(is_seen || ended >= start.began, || {
            format!("message {} lies before the start of {group:?}", message.id)
        })?;
        ensure(!is_seen || began <= start.ended, || {
            format!("message {} lies behind the start of {group:?}", message.id)
        })?;
    }
    Ok(())
}

/// The call by which a group stands where it does, if it is beyond doubt which that is.
fn start_of(story: &Story, group: Group) -> Option<&Event> {
    let changes = |event: &&Event| {
        event.group() == Some(group)
            && event.is_done()
            && matches!(
                event.step,
                Step::Subscribe(..) | Step::Seek(..) | Step::Cancel(_)
            )
    };
    let mut events: Vec<&Event> = story.events.iter().filter(changes).collect();
    events.sort_by_key(|event| event.began);
    if events.windows(2).any(|pair| pair[0].ended >= pair[1].began) {
        return None;
    }
    let mut start = None;
    for event in events {
        match event.step {
            Step::Cancel(_) => start = None,
            // Subscribing again moves nothing.
            Step::Subscribe(..) if start.is_some() => {}
            _ => start = Some(event),
        }
    }
    start
}

fn only_what_is_owed_comes(story: &Story) -> Verdict {
    for handed in story.handed() {
        let (bit, id) = handed.of();
        // A bit of before a seek says nothing any more of what it was owed.
        let (Some(reading), Some(stored)) = (story.reading(bit), story.stored(id.0)) else {
            continue;
        };
        ensure(reading.owes(stored), || {
            format!("{} got message {id}, which it is not owed", reading.group)
        })?;
    }
    Ok(())
}
