//! Which process makes a cluster, if several want the same one, and what became of clusters whose
//! watchdog was killed. A directory is a cluster; who holds its lock may make or remove it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl},
    sys::stat::Mode,
    unistd::{Uid, chown, mkfifo},
};

use crate::{Error, Result, postmaster, user::ServerUser, wait};

/// The longest name that every system takes for a socket, less the socket's own name.
const LONGEST: usize = 103 - "/.s.PGSQL.65535".len();

/// What a process that wants a cluster gets.
pub(crate) enum Claim {
    /// The cluster is there; the file is its watchdog's pipe.
    Joined(File),
    /// The directory is there, and this process has to make the cluster.
    New(NewCluster),
}

/// A directory where a cluster is to be made. Others wait until this is dropped.
pub(crate) struct NewCluster {
    /// The watchdog's end of the pipe.
    pub(crate) reader: File,
    /// The client's end.
    pub(crate) writer: File,
    pub(crate) lock: Flock<File>,
}

/// What stands in a locked directory.
enum State {
    Empty,
    Live(File),
    /// The watchdog is about to remove it.
    Closing,
    /// The watchdog was killed.
    Abandoned,
}

/// Whether somebody reads a pipe.
enum Pipe {
    Read(File),
    Unread,
    Missing,
}

/// The name of a cluster's directory, which tells users apart: none sweeps another's.
pub(crate) fn path(parent: &Path, name: &str) -> Result<PathBuf> {
    let path = parent.join(format!("{}{name}", prefix()));
    if path.as_os_str().len() > LONGEST {
        return Err(Error::PathTooLong {
            path,
            limit: LONGEST,
        });
    }
    Ok(path)
}

fn prefix() -> String {
    format!("fanout-pg-{}-", Uid::effective())
}

/// Joins the cluster in `path`, or gets the right to make it.
pub(crate) fn claim(path: &Path, user: ServerUser) -> Result<Claim> {
    wait::until(
        format!("directory `{}`", path.display()),
        wait::LONG,
        || {
            match DirBuilder::new().mode(0o700).create(path) {
                Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::file("make directory", path)(why));
                }
                _ => {}
            }
            let Some(lock) = lock(path, user, FlockArg::LockExclusive)? else {
                return Ok(None);
            };
            match state(path)? {
                State::Live(control) => Ok(Some(Claim::Joined(control))),
                State::Closing => Ok(None),
                State::Abandoned => remove(path).map(|()| None),
                State::Empty => Ok(begin(path, user, lock)?.map(Claim::New)),
            }
        },
    )
}

/// Removes the clusters of this user below `parent` whose watchdog was killed.
pub(crate) fn sweep(parent: &Path, user: ServerUser) {
    let prefix = prefix();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // One that cannot be removed is no reason not to start another.
            let _ = sweep_one(&entry.path(), user);
        }
    }
}

fn sweep_one(path: &Path, user: ServerUser) -> Result<()> {
    // One that is locked is being made.
    let Some(_lock) = lock(path, user, FlockArg::LockExclusiveNonblock)? else {
        return Ok(());
    };
    match state(path)? {
        State::Live(_) | State::Closing => Ok(()),
        State::Empty | State::Abandoned => remove(path),
    }
}

/// None if another process holds the lock, or if the directory was replaced meanwhile.
fn lock(path: &Path, user: ServerUser, how: FlockArg) -> Result<Option<Flock<File>>> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let Some(directory) = present(opened).map_err(Error::file("open", path))? else {
        return Ok(None);
    };
    let found = directory.metadata().map_err(Error::file("look at", path))?;
    if !user.owns(&found) {
        return Err(Error::Foreign {
            path: path.to_owned(),
            uid: found.uid(),
        });
    }
    let lock = match Flock::lock(directory, how) {
        Ok(lock) => lock,
        Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, why)) => return Err(Error::sys("lock", path)(why)),
    };
    let now = present(fs::symlink_metadata(path)).map_err(Error::file("look at", path))?;
    let same = now.is_some_and(|now| now.ino() == found.ino() && now.dev() == found.dev());
    Ok(same.then_some(lock))
}

fn state(path: &Path) -> Result<State> {
    // `control` twice: a watchdog may change its mind and rename `closed` back in between.
    for name in ["control", "closed", "control"] {
        match pipe(&path.join(name))? {
            Pipe::Read(file) if name == "control" => return Ok(State::Live(file)),
            Pipe::Read(_) => return Ok(State::Closing),
            Pipe::Unread => return Ok(State::Abandoned),
            Pipe::Missing => {}
        }
    }
    Ok(State::Empty)
}

/// Opens the client's end, which fails at once if the other end is closed.
fn pipe(path: &Path) -> Result<Pipe> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    match OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits())
        .open(path)
    {
        Ok(file) => Ok(Pipe::Read(file)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Pipe::Missing),
        Err(why) if why.raw_os_error() == Some(Errno::ENXIO as i32) => Ok(Pipe::Unread),
        Err(why) => Err(Error::file("open", path)(why)),
    }
}

/// Whether the watchdog of the cluster in `path` still runs.
pub(crate) fn is_watched(path: &Path) -> Result<bool> {
    Ok(matches!(state(path)?, State::Live(_) | State::Closing))
}

/// Makes the pipe with both ends open, so that neither side ever waits for the other to open it.
/// None if the last watchdog removed the directory just now.
fn begin(path: &Path, user: ServerUser, lock: Flock<File>) -> Result<Option<NewCluster>> {
    let control = path.join("control");
    match mkfifo(&control, Mode::S_IRUSR | Mode::S_IWUSR) {
        Err(Errno::ENOENT) => return Ok(None),
        made => made.map_err(Error::sys("make pipe", &control))?,
    }
    let mut options = OpenOptions::new();
    let reader = options
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&control);
    let reader = reader.map_err(Error::file("open", &control))?;
    let Pipe::Read(writer) = pipe(&control)? else {
        return Ok(None);
    };
    // The watchdog waits for lines.
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::empty())).map_err(Error::sys("set", &control))?;
    if let Some((uid, gid)) = user.chown() {
        for made in [path, control.as_path()] {
            chown(made, Some(uid), Some(gid)).map_err(Error::sys("give away", made))?;
        }
    }
    Ok(Some(NewCluster {
        reader,
        writer,
        lock,
    }))
}

/// Kills the server that may still run in a directory without a watchdog, and removes all.
pub(crate) fn remove(path: &Path) -> Result<()> {
    postmaster::kill(path)?;
    match present(fs::remove_dir_all(path)) {
        Ok(_) => Ok(()),
        Err(why) => Err(Error::file("remove", path)(why)),
    }
}

fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
