//! The memory engine under a history.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanout_core::{CompletionMode, ManualClock, TopicName, Transactional};
use fanout_memory::MemoryBackend;

use crate::acceptor::{Checked, Ending};
use crate::coverage::Seen;
use crate::driver;
use crate::history::History;
use crate::reader::Channel;
use crate::terms::Terms;

/// Runs a history on a fresh memory engine; `wrap` may put something around it.
pub async fn on_memory<B: Transactional>(
    history: &History,
    mode: CompletionMode,
    wrap: impl FnOnce(MemoryBackend) -> B,
) -> Checked<(Ending, Seen)> {
    let clock = Arc::new(ManualClock::default());
    let backend = wrap(MemoryBackend::builder().clock(clock.clone()).build());
    let terms = Terms::memory(mode);
    driver::run(&backend, &clock, &topic_names(0), terms, history).await
}

/// The topics of the history with this number.
pub fn topic_names(number: u32) -> BTreeMap<Channel, TopicName> {
    let name = |channel| TopicName::new(format!("{channel:?} {number}")).expect("a valid name");
    BTreeMap::from(Channel::ALL.map(|channel| (channel, name(channel))))
}
