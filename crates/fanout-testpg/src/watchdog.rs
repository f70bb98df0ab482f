use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    Error, Result,
    claim::{self, Claim, NewCluster},
    locate::{Server, locate},
    postmaster,
    user::ServerUser,
    wait,
};

/// How many lines of the log an error shows.
const LOG_LINES: usize = 15;

/// How to make a cluster.
pub(crate) struct Plan {
    pub(crate) user: ServerUser,
    /// Lines for `postgresql.conf`.
    pub(crate) settings: String,
    /// Whether `initdb` flushes what it wrote.
    pub(crate) sync: bool,
    /// For how long the cluster stays when its last client has ended.
    pub(crate) grace: Duration,
}

/// This process's hold on a cluster: a shell script, which outlives it, keeps the cluster for as
/// long as some process has the pipe open, and then removes it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    directory: PathBuf,
    /// None once it has let go.
    control: Option<File>,
    server: Server,
    /// Known to the process that started it, which has to wait for it lest it stay a zombie.
    script: Option<Child>,
}

impl Watchdog {
    /// Joins the cluster in `directory`, or else makes it, and waits until it is up.
    pub(crate) fn engage(directory: PathBuf, plan: &Plan) -> Result<Self> {
        match claim::claim(&directory, plan.user)? {
            Claim::Joined(control) => Self::join(directory, control),
            Claim::New(new) => Self::make(directory, new, plan),
        }
    }

    fn join(directory: PathBuf, control: File) -> Result<Self> {
        send(&control, "hello").map_err(Error::file("join", &directory))?;
        wait_until_up(&directory)?;
        let server = Server::noted(&directory)?;
        Ok(Self {
            directory,
            control: Some(control),
            server,
            script: None,
        })
    }

    fn make(directory: PathBuf, new: NewCluster, plan: &Plan) -> Result<Self> {
        let NewCluster {
            reader,
            writer,
            lock,
        } = new;
        let spawned = locate(plan.user).and_then(|server| {
            server.note(&directory)?;
            spawn(&directory, reader, &server, plan).map(|script| (server, script))
        });
        let (server, script) = match spawned {
            Ok(spawned) => spawned,
            Err(why) => {
                claim::remove(&directory)?;
                return Err(why);
            }
        };
        let mut made = Self {
            directory,
            control: Some(writer),
            server,
            script: Some(script),
        };
        let up = wait_until_up(&made.directory);
        // Not earlier, so that who joins finds it up.
        drop(lock);
        match up {
            Ok(()) => Ok(made),
            Err(why) if plan.grace.is_zero() => made.release().and(Err(why)),
            // Those who wait for the lock are told as well, for as long as the grace lasts.
            Err(why) => Err(why),
        }
    }

    /// The programs that the cluster was made with.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops the server if it runs, and starts it.
    pub(crate) fn restart(&mut self) -> Result<()> {
        if postmaster::pid(&self.directory).is_none() {
            postmaster::forget(&self.directory);
        }
        let status = self.directory.join("status");
        fs::remove_file(&status).map_err(Error::file("remove", &status))?;
        if let Some(control) = &self.control {
            send(control, "restart").map_err(Error::file("restart", &self.directory))?;
        }
        wait_until_up(&self.directory)
    }

    /// Lets go, and waits until the cluster is gone; for one that has no other clients.
    pub(crate) fn release(&mut self) -> Result<()> {
        self.control = None;
        let what = format!("removal of `{}`", self.directory.display());
        wait::until(what, wait::LONG, || {
            Ok((!self.directory.exists()).then_some(()))
        })?;
        if let Some(mut script) = self.script.take() {
            script
                .wait()
                .map_err(Error::file("end the watchdog of", &self.directory))?;
        }
        Ok(())
    }
}

/// In one piece: a line of another client must not stand within.
fn send(mut control: &File, command: &str) -> io::Result<()> {
    control.write_all(format!("{command}\n").as_bytes())
}

fn wait_until_up(directory: &Path) -> Result<()> {
    let status = directory.join("status");
    let up = wait::until(
        "start of postgres",
        wait::LONG * 2,
        || match fs::read_to_string(&status) {
            Ok(word) => Ok(Some(word.trim() == "ready")),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                Ok((!claim::is_watched(directory)?).then_some(false))
            }
            Err(why) => Err(Error::file("read", &status)(why)),
        },
    )?;
    if up { Ok(()) } else { Err(failure(directory)) }
}

fn failure(directory: &Path) -> Error {
    let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    let log = if last.is_empty() {
        "its log is empty".to_owned()
    } else {
        last.join("\n")
    };
    Error::Start {
        directory: directory.to_owned(),
        log,
    }
}

fn spawn(directory: &Path, reader: File, server: &Server, plan: &Plan) -> Result<Child> {
    let mut command = Command::new("/bin/sh");
    command
        // By a variable, or else a list of processes would show the whole script.
        .args([
            "-c",
            "eval \"$FANOUT_PG_WATCHDOG\"",
            "fanout-testpg-watchdog",
        ])
        .arg(directory)
        .arg(&server.bin)
        .arg(plan.grace.as_secs().to_string())
        .args((!plan.sync).then_some("--no-sync"))
        .current_dir("/")
        // A client's settings, such as PGDATA or PGOPTIONS, are not for this server.
        .env_clear()
        .env("FANOUT_PG_WATCHDOG", include_str!("watchdog.sh"))
        .env("FANOUT_PG_SETTINGS", &plan.settings)
        .env("LC_ALL", "C")
        .env("PATH", path())
        .envs(env::var_os("LD_LIBRARY_PATH").map(|libraries| ("LD_LIBRARY_PATH", libraries)))
        // Whoever waits for this process's output to end must not wait for the cluster.
        .stdin(reader)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A terminal's Ctrl-C goes to the group of the tests.
        .process_group(0);
    plan.user.apply(&mut command);
    command
        .spawn()
        .map_err(Error::file("start a watchdog for", directory))
}

/// The script needs `rm`, `mv` and the like even where the tests hide them.
fn path() -> OsString {
    let mut path = env::var_os("PATH")
        .filter(|path| !path.is_empty())
        .unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push("/usr/bin:/bin");
    path
}
