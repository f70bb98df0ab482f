//! Only committed messages are stored and delivered.

use std::collections::BTreeSet;

use super::{Verdict, ensure};
use crate::story::Story;

pub(crate) fn check(story: &Story) -> Verdict {
    let published = story.published();
    for handed in story.handed() {
        let id = handed.delivery.message.id.0;
        let committed = published
            .iter()
            .find(|message| message.id == id)
            .and_then(|message| message.committed);
        ensure(
            committed.is_some_and(|(began, _)| began <= handed.event.ended),
            || format!("message {id} was delivered and had not been committed"),
        )?;
    }
    let committed: BTreeSet<i64> = published
        .iter()
        .filter(|message| message.committed.is_some())
        .map(|message| message.id)
        .collect();
    let stored: BTreeSet<i64> = story
        .before_drain
        .log
        .iter()
        .map(|stored| stored.id)
        .collect();
    ensure(stored == committed, || {
        format!("{committed:?} were committed, {stored:?} are stored")
    })
}
