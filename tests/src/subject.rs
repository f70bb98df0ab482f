//! The memory engine under a history.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use fanout_core::{ManualClock, TopicName, Transactional};
use fanout_memory::MemoryBackend;

use crate::acceptor::{Checked, Ending, Violation};
use crate::coverage::Seen;
use crate::driver;
use crate::history::History;
use crate::modes::Modes;
use crate::reader::Channel;
use crate::terms::Terms;

/// Runs a history on a fresh memory engine; `wrap` may put something around it.
pub async fn on_memory<B: Transactional>(
    history: &History,
    modes: Modes,
    wrap: impl FnOnce(MemoryBackend) -> B,
) -> Checked<(Ending, Seen)> {
    let clock = Arc::new(ManualClock::default());
    let backend = wrap(MemoryBackend::builder().clock(clock.clone()).build());
    let terms = Terms::memory(modes);
    driver::run(&backend, &clock, &topic_names(0), terms, history).await
}

/// Runs a history on the memory engine in all modes: it must end the same in each.
pub async fn on_memory_in_all_modes(history: &History) -> Checked<(Ending, Seen)> {
    let (mut endings, mut seen) = (Vec::new(), Seen::new());
    for modes in Modes::ALL {
        let (ending, more) = on_memory(history, modes, |memory| memory)
            .await
            .map_err(|violation| violation.during(format_args!("memory, {modes}")))?;
        endings.push((modes, ending));
        seen.extend(more);
    }
    Ok((alike(endings)?, seen))
}

/// The ending that all have.
pub fn alike<N: fmt::Display>(endings: Vec<(N, Ending)>) -> Checked<Ending> {
    let mut endings = endings.into_iter();
    let (name, first) = endings.next().expect("something is compared");
    match endings.find(|(_, ending)| *ending != first) {
        None => Ok(first),
        Some((other, ending)) => Err(Violation::new(format!(
            "the ends differ\n{name}: {first:#?}\n{other}: {ending:#?}"
        ))),
    }
}

/// The topics of the history with this number.
pub fn topic_names(number: u32) -> BTreeMap<Channel, TopicName> {
    let name = |channel| TopicName::new(format!("{channel:?} {number}")).expect("a valid name");
    BTreeMap::from(Channel::ALL.map(|channel| (channel, name(channel))))
}
