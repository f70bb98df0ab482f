//! Who waits for whom, by the database's word.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use crate::sql;

/// A connection of a session.
#[derive(Clone, Debug)]
struct Connection {
    session: usize,
    /// It has a transaction open, and no statement.
    is_idle: bool,
    blockers: Vec<i32>,
}

/// Connections of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits(BTreeMap<i32, Connection>);

impl Waits {
    pub(crate) async fn read(observer: &Client, names: &[String]) -> Self {
        let rows = observer.query(sql::BLOCKED, &[]).await.expect("reads");
        let mut found = Self::default();
        for row in rows {
            let name: &str = row.get(1);
            if let Some(session) = names.iter().position(|known| known == name) {
                let connection = Connection {
                    session,
                    is_idle: row.get::<_, Option<bool>>(2).unwrap_or_default(),
                    blockers: row.get(3),
                };
                found.0.insert(row.get(0), connection);
            }
        }
        found
    }

    /// The sessions among the busy ones that cannot go on before another session takes a step: they wait
    /// for an open transaction of one that is not busy, or for somebody who does.
    ///
    /// Who waits for a statement that runs, or in a circle, will go on by itself, the last with a deadlock.
    pub(crate) fn stuck(&self, busy: &BTreeSet<usize>) -> BTreeSet<usize> {
        let rests =
            |connection: &Connection| connection.is_idle && !busy.contains(&connection.session);
        let mut stuck: BTreeSet<i32> = BTreeSet::new();
        loop {
            let before = stuck.len();
            for (pid, connection) in &self.0 {
                let is_final = |blocker: &i32| {
                    stuck.contains(blocker) || self.0.get(blocker).is_some_and(rests)
                };
                if connection.blockers.iter().any(is_final) {
                    stuck.insert(*pid);
                }
            }
            if stuck.len() == before {
                break;
            }
        }
        let sessions = stuck.iter().map(|pid| self.0[pid].session);
        sessions.filter(|session| busy.contains(session)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of connection 10 of session 0, 11 of session 1, and so on: whom they wait for, and whether they
    /// are idle in a transaction.
    fn waits(waits: &[(Option<i32>, bool)]) -> Waits {
        let connections = waits
            .iter()
            .enumerate()
            .map(|(session, (blocker, is_idle))| {
                let connection = Connection {
                    session,
                    is_idle: *is_idle,
                    blockers: blocker.iter().copied().collect(),
                };
                (10 + session as i32, connection)
            });
        Waits(connections.collect())
    }

    fn set(sessions: &[usize]) -> BTreeSet<usize> {
        sessions.iter().copied().collect()
    }

    #[test]
    fn who_waits_for_an_idle_session_is_stuck_and_so_is_who_waits_for_that_one() {
        let chain = waits(&[(None, true), (Some(10), false), (Some(11), false)]);
        assert_eq!(chain.stuck(&set(&[1, 2])), set(&[1, 2]));
        assert_eq!(chain.stuck(&set(&[0, 1, 2])), set(&[]), "0 will go on");
    }

    #[test]
    fn who_waits_for_a_statement_or_in_a_circle_is_not() {
        let upkeep = waits(&[(None, false), (Some(10), false)]);
        assert_eq!(upkeep.stuck(&set(&[1])), set(&[]), "a member's own upkeep");
        let circle = waits(&[(Some(11), false), (Some(10), false)]);
        assert_eq!(circle.stuck(&set(&[0, 1])), set(&[]), "a deadlock ends");
        let others = waits(&[(Some(99), false)]);
        assert_eq!(others.stuck(&set(&[0])), set(&[]));
    }
}
