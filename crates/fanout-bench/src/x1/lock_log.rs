//! What the server's log tells of waits for locks.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::Result;

const FILE: &str = "x1.log";
/// A wait for longer than `deadlock_timeout`. A second line tells when such a wait ends.
const WAIT: &str = " still waiting for ";
/// The line after it that names the row, where the lock is that of a row's writer.
const ON_TOPIC: &str = "in relation \"outbox_topics\"";
/// Of those that see to it that there are leaves, one makes them and the others wait, whatever the mode.
const OF_LEAVES: &str = "fanout.ensure_leaves";

/// The log of a throwaway server.
#[derive(Debug)]
pub(super) struct LockLog(PathBuf);

/// Waits for locks of 10 ms and more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct LockWaits {
    pub(super) all: u64,
    /// For the row of a topic, which is all that a change of the mode locks; but not behind who makes a leaf.
    pub(super) on_topics: u64,
}

impl LockLog {
    /// Settings of the server that it needs.
    pub(super) fn settings() -> impl Iterator<Item = (String, String)> {
        [
            ("logging_collector", "on"),
            ("log_directory", "log"),
            ("log_filename", FILE),
            ("log_rotation_age", "0"),
            ("log_rotation_size", "0"),
            ("log_lock_waits", "on"),
            ("deadlock_timeout", "10ms"),
            ("lc_messages", "C"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    pub(super) fn of(data_directory: &Path) -> Self {
        Self(data_directory.join("log").join(FILE))
    }

    /// Where it ends now.
    pub(super) fn end(&self) -> Result<u64> {
        match std::fs::metadata(&self.0) {
            Ok(file) => Ok(file.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The waits that it tells of from there on.
    pub(super) fn waits_since(&self, start: u64) -> Result<LockWaits> {
        let mut file = match std::fs::File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LockWaits::default()),
            Err(error) => return Err(error.into()),
        };
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(count(&String::from_utf8_lossy(&bytes)))
    }
}

/// A message begins with its severity, and goes on in lines of DETAIL, CONTEXT and STATEMENT. Lines of
/// two processes do not mix: each message is written as a whole.
fn count(log: &str) -> LockWaits {
    let mut waits = LockWaits::default();
    let (mut waiting, mut on_topic) = (false, false);
    for line in log.lines() {
        if line.contains("LOG:  ") || line.contains("ERROR:  ") || line.contains("WARNING:  ") {
            waits.on_topics += u64::from(on_topic);
            waiting = line.contains(WAIT);
            on_topic = false;
            waits.all += u64::from(waiting);
        } else if waiting && line.contains(OF_LEAVES) {
            (waiting, on_topic) = (false, false);
        } else if waiting && line.contains(ON_TOPIC) {
            on_topic = true;
        }
    }
    waits.on_topics += u64::from(on_topic);
    waits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_counted_and_those_for_topics_told_apart() {
        let log = "\
2026-01-01 [7] LOG:  process 7 still waiting for ShareLock on transaction 9 after 10.1 ms
2026-01-01 [7] DETAIL:  Process holding the lock: 8. Wait queue: 7.
2026-01-01 [7] CONTEXT:  while updating tuple (0,1) in relation \"outbox_topics\"
2026-01-01 [7] STATEMENT:  UPDATE
2026-01-01 [7] LOG:  process 7 acquired ShareLock on transaction 9 after 12.0 ms
2026-01-01 [7] CONTEXT:  while updating tuple (0,1) in relation \"outbox_topics\"
2026-01-01 [5] LOG:  process 5 still waiting for ShareLock on transaction 4 after 10.0 ms
2026-01-01 [5] CONTEXT:  while locking tuple (3,1) in relation \"outbox_completions_1_1\"
2026-01-01 [5] LOG:  checkpoint starting: time
2026-01-01 [6] LOG:  process 6 still waiting for ShareLock on transaction 4 after 10.0 ms
2026-01-01 [6] CONTEXT:  while locking tuple (0,4) in relation \"outbox_topics\"
	SQL statement \"SELECT FROM fanout.outbox_topics WHERE topic_id = topic FOR NO KEY UPDATE\"
	PL/pgSQL function fanout.ensure_leaves(integer) line 22 at PERFORM
2026-01-01 [6] STATEMENT:  SELECT * FROM fanout.ensure_leaves($1)
2026-01-01 [5] LOG:  process 5 still waiting for ShareLock on transaction 8 after 10.0 ms
2026-01-01 [5] CONTEXT:  while locking tuple (0,1) in relation \"outbox_topics\"
";
        let expected = LockWaits {
            all: 4,
            on_topics: 2,
        };
        assert_eq!(count(log), expected);
        assert_eq!(count(""), LockWaits::default());
    }
}
