//! Running the binary.

use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use fanout_testpg::TestDatabase;
use serde_json::Value;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The output of a run that succeeded and complained of nothing.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }

    /// The objects that it printed, one a line.
    #[track_caller]
    pub(crate) fn json(self) -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap();
        self.ok().lines().map(read).collect()
    }

    /// Asserts that it failed with this code and told why in one line that has all of `parts`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        let line = self.stderr.strip_suffix('\n').unwrap_or_default();
        assert!(!line.contains('\n'), "one line: {self:?}");
        assert!(line.starts_with("error: "), "{self:?}");
        for part in parts {
            assert!(line.contains(part), "`{part}` in {self:?}");
        }
    }
}

/// A run under way. It is killed when it hangs, and with a test that fails.
pub(crate) struct Running {
    child: Child,
    /// Dropped to call the guard off.
    _guard: Sender<()>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap();
        let (guard, called_off) = channel();
        let pid = child.id();
        thread::spawn(move || {
            let waited = called_off.recv_timeout(Duration::from_secs(120));
            if waited == Err(RecvTimeoutError::Timeout) {
                signal(pid, "-KILL");
            }
        });
        Self {
            child,
            _guard: guard,
        }
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().unwrap())
    }

    /// Asks it to end, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        signal(self.child.id(), "-INT");
    }

    /// Waits for its end; what was not read of its output is in the result.
    pub(crate) fn finish(mut self) -> Ran {
        drop(self.child.stdin.take());
        let stderr = self.child.stderr.take().unwrap();
        let stderr = thread::spawn(move || text(stderr));
        let stdout = self.child.stdout.take().map(text).unwrap_or_default();
        let status = self.child.wait().unwrap();
        Ran {
            code: status.code().expect("it was killed by a signal"),
            stdout,
            stderr: stderr.join().unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

fn signal(pid: u32, signal: &str) {
    let done = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(done.unwrap().success());
}

/// The binary, with nothing from the environment that could lead it to a database.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
    command
        .args(args)
        .env_remove("FANOUT_DATABASE_URL")
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn run(args: &[&str]) -> Ran {
    Running::start(&mut command(args)).finish()
}

/// A database, and the binary on it.
pub(crate) struct Database(TestDatabase);

impl Database {
    pub(crate) async fn empty() -> Self {
        Self(TestDatabase::empty().await.unwrap())
    }

    pub(crate) async fn migrated() -> Self {
        let database = Self::empty().await;
        database.run("migrate up").ok();
        database
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.env("FANOUT_DATABASE_URL", self.0.url());
        command
    }

    /// Runs it with arguments that have no blanks in them.
    pub(crate) fn run(&self, args: &str) -> Ran {
        self.run_args(&args.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn run_args(&self, args: &[&str]) -> Ran {
        Running::start(&mut self.command(args)).finish()
    }

    pub(crate) fn run_with_input(&self, args: &str, input: &[u8]) -> Ran {
        let args: Vec<_> = args.split_whitespace().collect();
        let mut running = Running::start(self.command(&args).stdin(Stdio::piped()));
        // A run that fails may leave before it has read all.
        let _ = running.stdin().write_all(input);
        running.finish()
    }

    pub(crate) fn url(&self) -> &str {
        self.0.url()
    }
}
