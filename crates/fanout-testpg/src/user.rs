use std::{
    fs::Metadata, os::unix::fs::MetadataExt, os::unix::process::CommandExt, process::Command,
};

use nix::unistd::{Gid, Uid, User};

use crate::{Error, Result};

/// Tried in this order when run as root; `_postgres` is macOS's.
const CANDIDATES: [&str; 4] = ["postgres", "_postgres", "nobody", "daemon"];

/// Whom the server runs as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerUser {
    /// Somebody else than this process's user, which only root can ask for.
    other: Option<(Uid, Gid)>,
}

impl ServerUser {
    /// This process's user, or as root, whom Postgres refuses, somebody without privileges.
    pub(crate) fn choose() -> Result<Self> {
        if !Uid::effective().is_root() {
            return Ok(Self { other: None });
        }
        CANDIDATES
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self {
                other: Some((user.uid, user.gid)),
            })
            .ok_or_else(|| Error::NoUser {
                candidates: CANDIDATES.join(", "),
            })
    }

    /// Makes `command` run as this user; the standard library also clears root's groups.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Some((uid, gid)) = self.other {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
    }

    /// Whom to give the directory to.
    pub(crate) fn chown(self) -> Option<(Uid, Gid)> {
        self.other
    }

    /// Whether a file is this user's or this process's.
    pub(crate) fn owns(self, file: &Metadata) -> bool {
        let uid = Uid::from_raw(file.uid());
        uid == Uid::effective() || self.other.is_some_and(|(other, _)| other == uid)
    }
}
