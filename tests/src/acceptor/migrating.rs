//! Changes of the mode.
//!
//! A change says how messages are accounted for that are published from then on, and nothing else:
//! what is owed, in hand, parked, waiting or settled stays as it is, and so does the form of the
//! receipts of every message that was published before. So there is nothing to do here but to note the
//! mode; any other effect is rejected by whatever meets it.

use fanout_core::{CompletionMode, Result, Topic};

use super::{Acceptor, Checked, OpenTransaction, Seat, Violation, check};
use crate::coverage::Event;
use crate::reader::Channel;

impl Acceptor {
    /// The topic's mode was changed, and then the topic was read.
    pub fn on_migrate(
        &mut self,
        channel: Channel,
        to: CompletionMode,
        answer: &Result<Topic>,
        read: &Result<Topic>,
    ) -> Checked {
        let mut expected = self.topics[&channel].clone();
        let before = std::mem::replace(&mut expected.config.completion_mode, to);
        for (what, topic) in [("migrate", answer), ("topic", read)] {
            let topic = topic
                .as_ref()
                .map_err(|error| Violation::refused(what, error))?;
            check!(
                *topic == expected,
                "{what}: must be {expected:?}, got {topic:?}"
            );
        }
        self.topics.insert(channel, expected);
        if before != to {
            self.note_change(channel);
        }
        Ok(())
    }

    fn note_change(&mut self, channel: Channel) {
        let is_backlogged = |seat: Seat| self.owes(seat) > 0 && seat.reader.channel() == channel;
        let with_backlog = self.live().any(is_backlogged);
        let publishes = |tx: &OpenTransaction| {
            let mut published = tx.published.iter();
            published.any(|message| self.published[*message].channel == channel)
        };
        let beside_publisher = self.transactions.values().any(publishes);
        if with_backlog {
            self.saw(Event::ModeChangeWithBacklog);
        }
        if beside_publisher {
            self.saw(Event::ModeChangeBesidePublisher);
        }
    }
}
