//! The subscription state machine.
//!
//! ```text
//! ACTIVE ⇄ PAUSED                      pause, resume (or subscribe)
//! ACTIVE → DEAD                        heartbeat timeout
//! DEAD → ACTIVE                        heartbeat or subscribe: resurrection
//! ACTIVE | PAUSED | DEAD → CANCELLED   final; a later subscribe starts a new epoch
//! ```
//!
//! It decides only what a subscription becomes; what that takes (bits, cursors, tracking rows) is
//! the engine's part.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where a subscription stands; written `ACTIVE`, `PAUSED`, `CANCELLED` or `DEAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SubscriptionStatus {
    /// Delivered to, and held to its heartbeats.
    Active,
    /// Not delivered to, but owed all that is published meanwhile; its heartbeats are not checked.
    Paused,
    /// Ended for good. Kept as history; subscribing again makes a new subscription.
    Cancelled,
    /// Its heartbeats ceased. It holds nothing back until it beats or subscribes again.
    Dead,
}

/// What can happen to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubscriptionEvent {
    /// The group subscribes, again.
    Subscribe,
    /// An operator stops delivery for a while.
    Pause,
    /// An operator lets delivery go on.
    Resume,
    /// The group gives the subscription up.
    Cancel,
    /// One of the group's members says that it lives.
    Heartbeat,
    /// No member has said so within the subscription's heartbeat timeout.
    HeartbeatTimeout,
}

/// What an event makes of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Transition {
    /// The subscription stays as it is.
    Unchanged,
    /// The subscription takes this status, which is another than before.
    To(SubscriptionStatus),
    /// The subscription stays as history, and a new, active one begins in a new epoch.
    StartsAnew,
}

/// The event has no meaning in the subscription's present status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cannot {event} a subscription with status=`{from}`: {}", hint(*.from))]
pub struct InvalidTransition {
    /// The status that the subscription has, and keeps.
    pub from: SubscriptionStatus,
    /// The event that it refused.
    pub event: SubscriptionEvent,
}

/// The text is no subscription status.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown subscription status: status=`{status}`")]
pub struct UnknownStatus {
    /// The text that was refused.
    pub status: String,
}

impl SubscriptionStatus {
    /// Every status, for those who try them all.
    pub const ALL: [Self; 4] = [Self::Active, Self::Paused, Self::Cancelled, Self::Dead];

    /// What `event` makes of a subscription with this status.
    ///
    /// ```
    /// use fanout_core::{SubscriptionEvent, SubscriptionStatus, Transition};
    ///
    /// let revived = SubscriptionStatus::Dead.on(SubscriptionEvent::Heartbeat)?;
    /// assert_eq!(revived, Transition::To(SubscriptionStatus::Active));
    /// assert!(SubscriptionStatus::Dead.on(SubscriptionEvent::Resume).is_err());
    /// # Ok::<(), fanout_core::InvalidTransition>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidTransition`] when a dead subscription is paused or resumed, and when a cancelled
    /// one is paused, resumed or sends a heartbeat.
    pub const fn on(self, event: SubscriptionEvent) -> Result<Transition, InvalidTransition> {
        use SubscriptionEvent as Event;
        use SubscriptionStatus::{Active, Cancelled, Dead, Paused};

        Ok(match (event, self) {
            (Event::Subscribe, Cancelled) => Transition::StartsAnew,
            (Event::Subscribe, Paused | Dead)
            | (Event::Resume, Paused)
            | (Event::Heartbeat, Dead) => Transition::To(Active),
            (Event::Pause, Active) => Transition::To(Paused),
            (Event::Cancel, Active | Paused | Dead) => Transition::To(Cancelled),
            (Event::HeartbeatTimeout, Active) => Transition::To(Dead),

            (Event::Subscribe | Event::Resume, Active)
            | (Event::Pause, Paused)
            | (Event::Cancel, Cancelled)
            | (Event::Heartbeat, Active | Paused)
            // A check for timeouts acts on what it read a moment ago, so it is never refused.
            | (Event::HeartbeatTimeout, Paused | Cancelled | Dead) => Transition::Unchanged,

            (Event::Pause | Event::Resume, Dead | Cancelled) | (Event::Heartbeat, Cancelled) => {
                return Err(InvalidTransition { from: self, event });
            }
        })
    }

    /// Whether the subscription counts: retention keeps what it owes, and it is among the groups
    /// that must settle a message published now.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Active | Self::Paused)
    }

    /// Whether the subscription's members are given messages.
    #[must_use]
    pub const fn delivers(self) -> bool {
        matches!(self, Self::Active)
    }

    /// Whether the subscription is the one of its topic and group, rather than history.
    #[must_use]
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Cancelled)
    }

    /// The status as stored: `ACTIVE`, `PAUSED`, `CANCELLED` or `DEAD`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Paused => "PAUSED",
            Self::Cancelled => "CANCELLED",
            Self::Dead => "DEAD",
        }
    }
}

impl fmt::Display for SubscriptionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SubscriptionStatus {
    type Err = UnknownStatus;

    /// Reads what [`as_str`](Self::as_str) writes, in upper case only.
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus {
                status: text.to_owned(),
            })
    }
}

impl SubscriptionEvent {
    /// Every event, for those who try them all.
    pub const ALL: [Self; 6] = [
        Self::Subscribe,
        Self::Pause,
        Self::Resume,
        Self::Cancel,
        Self::Heartbeat,
        Self::HeartbeatTimeout,
    ];

    /// The event as a verb, for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Heartbeat => "heartbeat",
            Self::HeartbeatTimeout => "time out",
        }
    }
}

impl fmt::Display for SubscriptionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Transition {
    /// The status of the live subscription once `before` has made this transition.
    #[must_use]
    pub const fn status_after(self, before: SubscriptionStatus) -> SubscriptionStatus {
        match self {
            Self::Unchanged => before,
            Self::To(status) => status,
            Self::StartsAnew => SubscriptionStatus::Active,
        }
    }
}

/// What a caller can do instead, said in its error.
const fn hint(from: SubscriptionStatus) -> &'static str {
    match from {
        SubscriptionStatus::Dead => "a heartbeat or subscribing again revives it",
        SubscriptionStatus::Cancelled => "cancelling is final, subscribe again to start anew",
        SubscriptionStatus::Active | SubscriptionStatus::Paused => "the status does not allow it",
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::SubscriptionEvent as Event;
    use super::SubscriptionStatus as Status;
    use super::*;

    /// The rules again, as (before, event, after); `new` for a new epoch. What is not here is
    /// refused.
    const TABLE: [(&str, Event, &str); 19] = [
        ("ACTIVE", Event::Subscribe, "ACTIVE"),
        ("ACTIVE", Event::Pause, "PAUSED"),
        ("ACTIVE", Event::Resume, "ACTIVE"),
        ("ACTIVE", Event::Cancel, "CANCELLED"),
        ("ACTIVE", Event::Heartbeat, "ACTIVE"),
        ("ACTIVE", Event::HeartbeatTimeout, "DEAD"),
        ("PAUSED", Event::Subscribe, "ACTIVE"),
        ("PAUSED", Event::Pause, "PAUSED"),
        ("PAUSED", Event::Resume, "ACTIVE"),
        ("PAUSED", Event::Cancel, "CANCELLED"),
        ("PAUSED", Event::Heartbeat, "PAUSED"),
        ("PAUSED", Event::HeartbeatTimeout, "PAUSED"),
        ("DEAD", Event::Subscribe, "ACTIVE"),
        ("DEAD", Event::Cancel, "CANCELLED"),
        ("DEAD", Event::Heartbeat, "ACTIVE"),
        ("DEAD", Event::HeartbeatTimeout, "DEAD"),
        ("CANCELLED", Event::Subscribe, "new"),
        ("CANCELLED", Event::Cancel, "CANCELLED"),
        ("CANCELLED", Event::HeartbeatTimeout, "CANCELLED"),
    ];

    fn expected(before: &str, event: Event) -> Option<&'static str> {
        TABLE
            .iter()
            .find(|row| row.0 == before && row.1 == event)
            .map(|row| row.2)
    }

    #[test]
    fn every_pair_follows_the_table() {
        for status in Status::ALL {
            for event in Event::ALL {
                let after = match status.on(event) {
                    Ok(Transition::Unchanged) => Some(status.as_str()),
                    Ok(Transition::To(next)) => {
                        assert_ne!(next, status, "{status} {event}: not a change");
                        Some(next.as_str())
                    }
                    Ok(Transition::StartsAnew) => Some("new"),
                    Err(error) => {
                        assert_eq!(
                            error,
                            InvalidTransition {
                                from: status,
                                event
                            }
                        );
                        None
                    }
                };
                assert_eq!(after, expected(status.as_str(), event), "{status} {event}");
            }
        }
    }

    #[test]
    fn predicates_of_each_status() {
        let of = |status: Status| (status.counts(), status.delivers(), status.is_live());
        assert_eq!(of(Status::Active), (true, true, true));
        assert_eq!(of(Status::Paused), (true, false, true));
        assert_eq!(of(Status::Dead), (false, false, true));
        assert_eq!(of(Status::Cancelled), (false, false, false));
    }

    #[test]
    fn text_and_json_agree() {
        let names = ["ACTIVE", "PAUSED", "CANCELLED", "DEAD"];
        assert_eq!(Status::ALL.map(Status::as_str), names);
        for (status, name) in Status::ALL.into_iter().zip(names) {
            assert_eq!(name.parse(), Ok(status));
            assert_eq!(status.to_string(), name);
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
        }
        assert_eq!(format!("{:>7}|", Status::Dead), "   DEAD|");
        let error = "active".parse::<Status>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown subscription status: status=`active`"
        );
    }

    #[test]
    fn a_refusal_says_what_helps() {
        let error = Status::Dead.on(Event::Resume).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot resume a subscription with status=`DEAD`: a heartbeat or subscribing again \
             revives it"
        );
        let error = Status::Cancelled.on(Event::Heartbeat).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("cancelling is final, subscribe again to start anew")
        );
    }

    proptest! {
        #[test]
        fn any_history_follows_the_table(events in vec(select(&Event::ALL[..]), 0..40)) {
            let (mut status, mut epoch) = (Status::Active, 0);
            let (mut name, mut naive_epoch) = ("ACTIVE", 0);
            for event in events {
                let before = status;
                if let Ok(transition) = status.on(event) {
                    status = transition.status_after(status);
                    epoch += u32::from(transition == Transition::StartsAnew);
                }
                match expected(name, event) {
                    Some("new") => {
                        naive_epoch += 1;
                        name = "ACTIVE";
                    }
                    Some(after) => name = after,
                    None => {}
                }
                prop_assert_eq!((status.as_str(), epoch), (name, naive_epoch));
                if before == Status::Cancelled && event != Event::Subscribe {
                    prop_assert_eq!(status, Status::Cancelled);
                }
            }
        }
    }
}
