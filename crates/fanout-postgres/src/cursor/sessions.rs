//! A member's sessions, one for each bit that its subscription has had.

use std::collections::BTreeSet;
use std::sync::Arc;

use fanout_core::{GroupIndex, Result, Scope};
use parking_lot::RwLock;

use super::hub::Hub;
use super::session::Session;
use crate::counters::Counters;

/// A member's session for the present bit of its subscription, which a seek changes.
#[derive(Debug)]
pub(crate) struct Sessions {
    hub: Arc<Hub>,
    name: String,
    counters: Arc<Counters>,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    present: Option<Arc<Session>>,
    /// Bits from which seeks have moved the subscription. It never gets one of them again.
    former: BTreeSet<GroupIndex>,
}

impl Sessions {
    pub(crate) fn new(hub: Arc<Hub>, name: &str, counters: Arc<Counters>) -> Self {
        Self {
            hub,
            name: name.to_owned(),
            counters,
            known: RwLock::default(),
        }
    }

    /// The session for a bit. A call that began before a seek gets one of its own, which comes to nothing, and
    /// leaves the lanes of the present bit alone.
    pub(crate) fn of(&self, scope: &Scope) -> Arc<Session> {
        let mut known = self.known.write();
        if let Some(present) = &known.present
            && present.group() == scope.group
        {
            return present.clone();
        }
        let (hub, counters) = (self.hub.clone(), self.counters.clone());
        let new = Arc::new(Session::new(hub, scope.clone(), &self.name, counters));
        if !known.former.contains(&scope.group) {
            self.hub.enter(new.clone());
            if let Some(former) = known.present.replace(new.clone()) {
                former.abandon();
            }
        }
        new
    }

    /// The subscription has moved away from a bit.
    pub(crate) fn leave_behind(&self, group: GroupIndex) {
        self.known.write().former.insert(group);
    }

    /// Whether the subscription is known to have moved away from a bit.
    pub(crate) fn has_left(&self, group: GroupIndex) -> bool {
        self.known.read().former.contains(&group)
    }

    /// Gives all back and all lanes up.
    pub(crate) async fn leave(&self) -> Result<()> {
        let present = self.known.read().present.clone();
        if let Some(session) = present {
            session.leave().await?;
            self.hub.forget(&session);
        }
        Ok(())
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        if let Some(session) = &self.known.get_mut().present {
            session.abandon();
            self.hub.tidy();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fanout_core::{SubscriptionId, SubscriptionOptions, TopicId, TopicName};

    use super::*;
    use crate::pool::Pool;

    fn scope(group: u16) -> Scope {
        Scope {
            topic: TopicId(1),
            topic_name: TopicName::new("t").unwrap(),
            subscription: SubscriptionId(1),
            group: GroupIndex(group),
            options: SubscriptionOptions::default(),
        }
    }

    #[tokio::test]
    async fn a_call_of_before_a_seek_leaves_the_lanes_of_after_it_alone() {
        // Nobody connects.
        let pool = Pool::deadpool("postgres://localhost/none", 1, Duration::ZERO).unwrap();
        let hub = Arc::new(Hub::new(TopicId(1), pool, None, 0));
        let sessions = Sessions::new(hub, "m", Arc::default());
        let (before, after) = (scope(1), scope(0));
        let former = sessions.of(&before);
        assert!(
            Arc::ptr_eq(&former, &sessions.of(&before)),
            "it is the same"
        );
        sessions.leave_behind(before.group);
        let present = sessions.of(&after);
        assert!(former.is_abandoned(), "nobody will fetch with it");
        let late = sessions.of(&before);
        assert!(!Arc::ptr_eq(&late, &present));
        assert!(Arc::ptr_eq(&present, &sessions.of(&after)), "it stays");
        assert!(!present.is_abandoned());
        assert!(sessions.has_left(before.group) && !sessions.has_left(after.group));
    }
}
