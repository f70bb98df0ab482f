//! Processes that tests start in order to kill them: this program again, told by a variable.

use std::{
    env,
    io::{self, BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use fanout_testpg::{Cluster, Profile, TestDatabase};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::template::TEMPLATE;

const ROLE: &str = "FANOUT_TESTPG_CHILD";
const MARK: &str = "child says: ";

/// Not a test of its own: what a child runs.
#[test]
fn role() {
    let Ok(role) = env::var(ROLE) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shared = || runtime.block_on(TestDatabase::create(&TEMPLATE));
    match role.as_str() {
        "own" => wait(&Cluster::start(Profile::Fast).unwrap().url("postgres")),
        "shared" => wait(shared().unwrap().url()),
        "shared briefly" => say(shared().unwrap().url()),
        "panic" => {
            let cluster = Cluster::start(Profile::Fast).unwrap();
            say(&cluster.url("postgres"));
            panic!("on purpose");
        }
        "version or error" => match Cluster::start(Profile::Fast) {
            Ok(cluster) => say(cluster.version()),
            Err(error) => say(&error.to_string().replace('\n', " ")),
        },
        other => panic!("no such role: {other}"),
    }
}

#[allow(clippy::print_stdout)] // How a child talks.
fn say(what: &str) {
    println!("{MARK}{what}");
}

/// Waits to be killed, or for the end of whoever was to do it.
fn wait(url: &str) {
    say(url);
    let _ = io::stdin().read(&mut [0]);
}

/// A child that has said what its role has it say.
pub(crate) struct Running {
    child: Child,
    pub(crate) said: String,
}

impl Running {
    /// Starts a child in a process group of its own.
    pub(crate) fn start(role: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child::role", "--nocapture", "--test-threads=1"])
            .env_remove("DATABASE_URL")
            .env(ROLE, role)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map(Result::unwrap);
        let said = lines.find_map(|line| line.split_once(MARK).map(|(_, said)| said.to_owned()));
        let said = said.unwrap_or_else(|| panic!("a child as `{role}` said nothing"));
        Self { child, said }
    }

    /// Sends a signal to the child and all that it has in its group, as a terminal would.
    pub(crate) fn signal_group(&mut self, signal: Signal) {
        let group = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(-group), signal).unwrap();
        // A shell has its background jobs ignore SIGINT; the pipe ends a child all the same.
        self.end();
    }

    pub(crate) fn end(&mut self) {
        self.child.wait().unwrap();
    }

    /// The directory of the child's cluster, from the URL that it said.
    pub(crate) fn directory(&self) -> PathBuf {
        let config: tokio_postgres::Config = self.said.parse().unwrap();
        match &config.get_hosts()[0] {
            tokio_postgres::config::Host::Unix(directory) => directory.clone(),
            other => panic!("not a socket: {other:?}"),
        }
    }
}
