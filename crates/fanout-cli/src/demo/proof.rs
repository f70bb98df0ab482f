//! The proof: what the engine says, against what publishers and handlers witnessed.

use std::collections::HashSet;

use fanout::{Backend, CompletionMode, GroupName, MessageId, TopicName};

use super::board::{numbers, thousands};
use super::books::Books;
use super::group::Group;
use super::publisher::Published;
use super::sightings::Seen;
use crate::failure::{Failure, Result as CliResult};
use crate::output::{Output, trimmed};
use crate::record::Record;

/// What is proved of one group. Every field but the first four must be zero.
#[derive(Debug)]
struct GroupProof {
    name: GroupName,
    /// Settled as handled, by the engine's books.
    done: u64,
    /// Given up, by the engine's books.
    dead: u64,
    /// Deliveries beyond the first of each message, which at-least-once allows.
    redelivered: u64,
    pending: u64,
    /// Committed, and not settled or never seen.
    missing: u64,
    /// Settled more than once in effect.
    twice: u64,
    /// Rolled back, and seen or settled all the same.
    phantoms: u64,
    /// Seen with another payload than was published.
    altered: u64,
    /// Settled by the books and not by any settlement that was reported; without crashes none.
    unwitnessed: u64,
}

impl GroupProof {
    fn of(group: &Group, published: &Published, books: &Books) -> Self {
        let seen = group.sightings.read();
        let none = HashSet::new();
        let settled = books.settled.get(&group.name).unwrap_or(&none);
        let dead = books.dead.get(&group.name).unwrap_or(&none);
        let count = |matches: &dyn Fn(&MessageId) -> bool| {
            published.committed.keys().filter(|id| matches(id)).count() as u64
        };
        let sighting = |id: &MessageId| seen.messages.get(id).copied().unwrap_or_default();
        let phantom = |id: &&MessageId| !published.committed.contains_key(*id);
        Self {
            name: group.name.clone(),
            done: count(&|id| settled.contains(id) && !dead.contains(id)),
            dead: count(&|id| settled.contains(id) && dead.contains(id)),
            redelivered: seen.attempts - seen.messages.len() as u64,
            pending: books.pending.get(&group.name).copied().unwrap_or(u64::MAX),
            missing: count(&|id| !settled.contains(id) || sighting(id).handled == 0),
            twice: count(&|id| sighting(id).effective > 1),
            phantoms: (seen.messages.keys().filter(phantom).count()
                + settled.iter().filter(phantom).count()
                + dead.iter().filter(phantom).count()) as u64,
            altered: count(&|id| {
                seen.messages
                    .get(id)
                    .is_some_and(|seen| published.committed.get(id) != Some(&seen.number))
            }),
            unwitnessed: unwitnessed(&seen, settled),
        }
    }

    fn adds_up(&self, published: u64) -> bool {
        self.done + self.dead == published
            && [
                self.pending,
                self.missing,
                self.twice,
                self.phantoms,
                self.altered,
                self.unwitnessed,
            ] == [0; 6]
    }

    fn record(&self, record: Record) -> Record {
        record
            .with("group", self.name.as_str())
            .with("done", self.done)
            .with("dead_lettered", self.dead)
            .with("redelivered", self.redelivered)
            .with("pending", self.pending)
            .with("missing", self.missing)
            .with("settled_twice", self.twice)
            .with("rolled_back_seen", self.phantoms)
            .with("altered", self.altered)
            .with("unwitnessed", self.unwitnessed)
    }
}

/// A member that crashed in the middle of settling does not know what came of it, so its group has
/// no complete witness.
fn unwitnessed(seen: &Seen, settled: &HashSet<MessageId>) -> u64 {
    if seen.crashes > 0 {
        return 0;
    }
    let witnessed = |id: &&MessageId| {
        let sighting = seen.messages.get(*id);
        sighting.is_some_and(|sighting| sighting.effective > 0)
    };
    settled.iter().filter(|id| !witnessed(id)).count() as u64
}

/// What is proved of a topic.
struct Proof {
    mode: CompletionMode,
    groups: Vec<GroupProof>,
    /// The engine's records are complete.
    recorded: bool,
    watermark: MessageId,
    /// The watermark has come to the last message that was committed.
    settled_to_the_end: bool,
    published: u64,
}

impl Proof {
    fn of(mode: CompletionMode, groups: &[Group], published: &Published, books: &Books) -> Self {
        let groups = groups.iter();
        Self {
            mode,
            groups: groups
                .map(|group| GroupProof::of(group, published, books))
                .collect(),
            recorded: books.complete,
            watermark: books.watermark,
            settled_to_the_end: (published.committed.keys()).all(|id| *id <= books.watermark),
            published: published.committed.len() as u64,
        }
    }

    fn holds(&self) -> bool {
        self.recorded && self.settled_to_the_end && self.wrong().next().is_none()
    }

    /// Groups that do not add up.
    fn wrong(&self) -> impl Iterator<Item = &str> {
        let wrong = |proof: &&GroupProof| !proof.adds_up(self.published);
        let wrong = self.groups.iter().filter(wrong);
        wrong.map(|proof| proof.name.as_str())
    }
}

/// Reads the books, prints the proof, and fails unless all of it adds up.
pub(super) async fn prove<B: Backend + ?Sized>(
    backend: &B,
    topic: &TopicName,
    mode: CompletionMode,
    groups: &[Group],
    published: &Published,
    output: &mut Output,
) -> CliResult<()> {
    let books = Books::read(backend, topic, mode, groups, published).await?;
    let proof = Proof::of(mode, groups, published, &books);
    print(&proof, published, output)?;
    output.flush()?;
    if proof.holds() {
        return Ok(());
    }
    Err(Failure::Accounting(format!(
        "the accounting does not add up mode=`{mode}` groups=`{}` log_is_complete=`{}` \
         watermark=`{}` settled_to_the_end=`{}`; please report it with the seed",
        proof.wrong().collect::<Vec<_>>().join(","),
        proof.recorded,
        proof.watermark,
        proof.settled_to_the_end,
    )))
}

fn print(proof: &Proof, published: &Published, output: &mut Output) -> CliResult<()> {
    let committed = proof.published;
    let rolled_back = published.rolled_back.len() as u64;
    if output.is_json() {
        let mode = || Record::new().with("mode", proof.mode.as_str());
        (proof.groups.iter()).try_for_each(|group| output.json(&group.record(mode())))?;
        let summary = mode()
            .with("published", committed)
            .with("rolled_back", rolled_back)
            .with("commits", published.commits)
            .with("rollbacks", published.rollbacks)
            .with("log_is_complete", proof.recorded)
            .with("watermark", proof.watermark.get())
            .with("settled_to_the_end", proof.settled_to_the_end)
            .with("adds_up", proof.holds());
        return output.json(&summary);
    }
    output.line(format_args!(
        "\npublished {} by {} commits; {} more were undone by {} rollbacks",
        thousands(committed),
        thousands(published.commits),
        thousands(rolled_back),
        thousands(published.rollbacks),
    ))?;
    let headers = [
        "group",
        "published",
        "= done",
        "+ dead-lettered",
        "missing",
        "settled twice",
        "rolled back seen",
        "redelivered",
    ];
    let rows = proof.groups.iter().map(|proof| {
        vec![
            proof.name.to_string(),
            thousands(committed),
            thousands(proof.done),
            thousands(proof.dead),
            thousands(proof.missing),
            thousands(proof.twice),
            thousands(proof.phantoms),
            thousands(proof.redelivered),
        ]
    });
    output.line(trimmed(numbers(&headers, rows)))?;
    if proof.holds() {
        output.line(
            "the accounting adds up: each group settled every committed message exactly once, \
             by the engine's records and by what handlers saw; the watermark is at the last one",
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fanout::{Outcome, Verdict};

    use super::*;
    use crate::demo::Demo;

    const COMMITTED: [i64; 3] = [1, 2, 4];

    fn group() -> Group {
        let args = Demo {
            messages: 3,
            groups: None,
            mode: None,
            postgres: false,
            workers: 1,
            payload: 0,
            rate: 0,
            seed: 1,
        };
        Group::new(0, &args).unwrap()
    }

    /// A group that did all right: 1 and 2 done, 4 given up; 3 was rolled back.
    fn sound() -> (Group, Published, Books) {
        let group = group();
        let ids = || COMMITTED.map(MessageId).into_iter();
        for id in ids() {
            see(&group, id.get());
        }
        for id in [1, 2] {
            settle(&group, id, Outcome::Applied);
        }
        settle(&group, 4, Outcome::DeadLettered);
        let published = Published {
            committed: ids().map(|id| (id, id.get() as u64)).collect(),
            rolled_back: [MessageId(3)].into(),
            commits: 1,
            rollbacks: 1,
        };
        let books = Books {
            complete: true,
            watermark: MessageId(4),
            settled: [(group.name.clone(), ids().collect())].into(),
            dead: [(group.name.clone(), [MessageId(4)].into())].into(),
            pending: [(group.name.clone(), 0)].into(),
        };
        (group, published, books)
    }

    fn see(group: &Group, id: i64) {
        group.sightings.handled(MessageId(id), id as u64);
    }

    fn settle(group: &Group, id: i64, outcome: Outcome) {
        let id = MessageId(id);
        group.sightings.settled(id, &Verdict::Done, outcome);
    }

    #[test]
    fn sound_work_adds_up() {
        let (group, published, books) = sound();
        let proof = GroupProof::of(&group, &published, &books);
        assert!(proof.adds_up(3), "{proof:?}");
        assert_eq!((proof.done, proof.dead, proof.redelivered), (2, 1, 0));
        see(&group, 1);
        let proof = GroupProof::of(&group, &published, &books);
        assert!(proof.adds_up(3), "a redelivery is allowed");
        assert_eq!(proof.redelivered, 1);
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        type Wrong = fn(&Group, &mut Published, &mut Books);
        let wrongs: [(&str, Wrong); 9] = [
            ("settled twice", |group, _, _| {
                settle(group, 1, Outcome::Applied);
            }),
            ("rolled back, and seen", |group, _, _| see(group, 3)),
            ("rolled back, and settled", |group, _, books| {
                books
                    .settled
                    .get_mut(&group.name)
                    .unwrap()
                    .insert(MessageId(3));
            }),
            ("never settled", |group, _, books| {
                books
                    .settled
                    .get_mut(&group.name)
                    .unwrap()
                    .remove(&MessageId(1));
            }),
            ("dead, and not settled", |group, _, books| {
                books
                    .settled
                    .get_mut(&group.name)
                    .unwrap()
                    .remove(&MessageId(4));
            }),
            ("never seen", |group, published, books| {
                published.committed.insert(MessageId(5), 5);
                books
                    .settled
                    .get_mut(&group.name)
                    .unwrap()
                    .insert(MessageId(5));
            }),
            ("altered", |group, _, _| {
                group.sightings.handled(MessageId(2), 99);
            }),
            ("pending", |group, _, books| {
                books.pending.insert(group.name.clone(), 1);
            }),
            ("nothing on record", |group, _, books| {
                books.settled.remove(&group.name);
            }),
        ];
        for (what, wrong) in wrongs {
            let (group, mut published, mut books) = sound();
            wrong(&group, &mut published, &mut books);
            let proof = GroupProof::of(&group, &published, &books);
            let total = published.committed.len() as u64;
            assert!(!proof.adds_up(total), "{what}: {proof:?}");
        }
    }

    #[test]
    fn the_whole_needs_complete_books_and_the_watermark_at_the_end() {
        type Wrong = fn(&mut Books);
        let holds = |wrong: Wrong| {
            let (group, published, mut books) = sound();
            wrong(&mut books);
            Proof::of(CompletionMode::default(), &[group], &published, &books).holds()
        };
        assert!(holds(|_| {}));
        assert!(!holds(|books| books.complete = false));
        assert!(!holds(|books| books.watermark = MessageId(3)));
        assert!(!holds(|books| books.settled.clear()));
    }

    #[test]
    fn what_no_settlement_reported_is_excused_by_a_crash_alone() {
        let (_, published, mut books) = sound();
        let unreported = group();
        for id in COMMITTED {
            see(&unreported, id);
        }
        books.dead.clear();
        let proof = GroupProof::of(&unreported, &published, &books);
        assert_eq!(proof.unwitnessed, 3);
        assert!(!proof.adds_up(3));
        unreported.sightings.crashed();
        assert!(GroupProof::of(&unreported, &published, &books).adds_up(3));
    }
}
