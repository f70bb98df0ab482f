//! The proof: what the engine says, against what publishers and handlers witnessed.

use std::collections::{HashMap, HashSet};

use fanout::{Backend, GroupName, MessageId, Result, TopicName};

use super::board::{numbers, thousands};
use super::group::Group;
use super::publisher::Published;
use super::sightings::Seen;
use crate::failure::{Failure, Result as CliResult};
use crate::output::{Output, trimmed};
use crate::record::Record;

/// How much of the accounting is read at once.
const PAGE: usize = 5_000;

/// The engine's own accounting.
struct Books {
    /// The messages that it has on record, each with how many groups must settle it.
    required: HashMap<MessageId, usize>,
    settled: HashMap<GroupName, HashSet<MessageId>>,
    dead: HashMap<GroupName, HashSet<MessageId>>,
    pending: HashMap<GroupName, u64>,
}

impl Books {
    async fn read<B: Backend + ?Sized>(
        backend: &B,
        topic: &TopicName,
        groups: &[Group],
    ) -> Result<Self> {
        let mut books = Self {
            required: HashMap::new(),
            settled: HashMap::new(),
            dead: HashMap::new(),
            pending: HashMap::new(),
        };
        let mut after = MessageId(0);
        loop {
            let page = backend.accounting(topic, after, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.id;
            for message in page {
                books.required.insert(message.id, message.required.len());
                for group in message.completed {
                    books.settled.entry(group).or_default().insert(message.id);
                }
            }
        }
        for group in groups {
            let letters = backend
                .dead_letters(topic, Some(&group.name), books.required.len() + 1)
                .await?;
            let ids = letters.into_iter().map(|letter| letter.message.id);
            books.dead.insert(group.name.clone(), ids.collect());
        }
        for stats in backend.stats(topic).await? {
            books.pending.insert(stats.group, stats.pending);
        }
        Ok(books)
    }
}

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

    fn record(&self) -> Record {
        Record::new()
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

/// Reads the books, prints the proof, and fails unless all of it adds up.
pub(super) async fn prove<B: Backend + ?Sized>(
    backend: &B,
    topic: &TopicName,
    groups: &[Group],
    published: &Published,
    output: &mut Output,
) -> CliResult<()> {
    let books = Books::read(backend, topic, groups).await?;
    let proofs: Vec<_> = groups
        .iter()
        .map(|group| GroupProof::of(group, published, &books))
        .collect();
    let total = published.committed.len() as u64;
    // Whoever was subscribed from the start must settle each message, and no other is on record.
    let recorded = books.required.len() == published.committed.len()
        && published
            .committed
            .keys()
            .all(|id| books.required.get(id) == Some(&groups.len()));
    let holds = recorded && proofs.iter().all(|proof| proof.adds_up(total));
    print(&proofs, published, recorded, holds, output)?;
    output.flush()?;
    if holds {
        return Ok(());
    }
    let wrong: Vec<_> = proofs
        .iter()
        .filter(|proof| !proof.adds_up(total))
        .map(|proof| proof.name.as_str())
        .collect();
    Err(Failure::Accounting(format!(
        "the accounting does not add up groups=`{}` log_is_complete=`{recorded}`; please report it with the seed",
        wrong.join(",")
    )))
}

fn print(
    proofs: &[GroupProof],
    published: &Published,
    recorded: bool,
    holds: bool,
    output: &mut Output,
) -> CliResult<()> {
    let committed = published.committed.len() as u64;
    let rolled_back = published.rolled_back.len() as u64;
    if output.is_json() {
        proofs
            .iter()
            .try_for_each(|proof| output.json(&proof.record()))?;
        let summary = Record::new()
            .with("published", committed)
            .with("rolled_back", rolled_back)
            .with("commits", published.commits)
            .with("rollbacks", published.rollbacks)
            .with("log_is_complete", recorded)
            .with("adds_up", holds);
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
    let rows = proofs.iter().map(|proof| {
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
    if holds {
        output.line(
            "the accounting adds up: each group settled every committed message exactly once, \
             by the engine's records and by what handlers saw",
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
            groups: 1,
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
            required: ids().map(|id| (id, 1)).collect(),
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
