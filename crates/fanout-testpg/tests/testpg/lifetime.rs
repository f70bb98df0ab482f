//! Nothing stays, however the processes of a run end.

use std::{
    fs,
    path::Path,
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use fanout_testpg::{Cluster, Profile};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    child::Running,
    template::{connect, things},
};

/// Pid and command line of each process whose command line names `directory`.
fn processes_of(directory: &Path) -> Vec<(i32, String)> {
    let listed: Vec<_> = if Path::new("/proc/self").exists() {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let line = |pid: i32| Some((pid, lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?)));
        pids.filter_map(line).collect()
    } else {
        let listed = Command::new("ps")
            .args(["-A", "-o", "pid=,args="])
            .output()
            .unwrap();
        let split = |line: &str| {
            let (pid, line) = line.trim().split_once(' ')?;
            Some((pid.parse().ok()?, line.to_owned()))
        };
        lossy(&listed.stdout).lines().filter_map(split).collect()
    };
    let name = directory.to_str().unwrap();
    listed
        .into_iter()
        .filter(|(_, line)| line.contains(name))
        .collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_there(directory: &Path) {
    assert!(directory.join("data").is_dir());
    // The watchdog and the server.
    assert!(processes_of(directory).len() >= 2);
}

/// Waits for the watchdog, which has a grace of some seconds.
fn assert_gone(directory: &Path) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while directory.exists() || !processes_of(directory).is_empty() {
        let left = processes_of(directory);
        assert!(
            Instant::now() < deadline,
            "`{}` stays: {left:?}",
            directory.display()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// A name for a run that no other test has.
fn run(test: &str) -> String {
    format!("{test}-{}", process::id())
}

#[test]
fn a_dropped_cluster_is_gone_at_once() {
    let cluster = Cluster::start(Profile::Fast).unwrap();
    let directory = cluster.data_dir().parent().unwrap().to_owned();
    assert_there(&directory);
    drop(cluster);
    assert!(!directory.exists());
    assert_eq!(processes_of(&directory), []);
}

#[test]
fn a_killed_owner_leaves_nothing() {
    for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGTERM] {
        let mut child = Running::start("own", &[]);
        let directory = child.directory();
        assert_there(&directory);
        child.signal_group(signal);
        assert_gone(&directory);
    }
}

#[test]
fn a_panic_of_the_owner_leaves_nothing() {
    let mut child = Running::start("panic", &[]);
    child.end();
    assert_gone(&child.directory());
}

#[tokio::test]
async fn a_run_shares_a_cluster_until_the_last_is_killed() {
    let run = run("shared");
    let run = [("FANOUT_PG_RUN", run.as_str())];
    let starting = [0; 3].map(|_| {
        thread::spawn({
            let run = run[0].1.to_owned();
            move || Running::start("shared", &[("FANOUT_PG_RUN", &run)])
        })
    });
    let [mut one, mut two, mut three] = starting.map(|it| it.join().unwrap());
    let directory = one.directory();
    assert_eq!(two.directory(), directory);
    assert_eq!(three.directory(), directory);
    one.signal_group(Signal::SIGKILL);
    two.signal_group(Signal::SIGINT);
    assert_eq!(things(&three.said).await, Some(0));
    three.signal_group(Signal::SIGKILL);
    // Within the grace, so the next one finds what the others left.
    let mut last = Running::start("shared briefly", &run);
    last.end();
    assert_eq!(last.directory(), directory);
    assert_gone(&directory);
}

#[tokio::test]
async fn runs_side_by_side_have_a_cluster_each() {
    let names = [run("left"), run("right")];
    let [mut left, mut right] = names
        .each_ref()
        .map(|name| Running::start("shared", &[("FANOUT_PG_RUN", name)]));
    assert_ne!(left.directory(), right.directory());
    left.signal_group(Signal::SIGKILL);
    assert_gone(&left.directory());
    assert_eq!(things(&right.said).await, Some(0));
    right.signal_group(Signal::SIGKILL);
    assert_gone(&right.directory());
}

#[tokio::test]
async fn the_next_cluster_removes_one_whose_watchdog_was_killed() {
    let mut child = Running::start("own", &[]);
    let directory = child.directory();
    let processes = processes_of(&directory);
    let is_watchdog = |line: &str| line.contains("fanout-testpg-watchdog");
    let (watchdog, _) = processes
        .iter()
        .find(|(_, line)| is_watchdog(line))
        .unwrap();
    kill(Pid::from_raw(*watchdog), Signal::SIGKILL).unwrap();
    child.signal_group(Signal::SIGKILL);
    connect(&child.said)
        .await
        .batch_execute("SELECT 1")
        .await
        .unwrap();
    drop(Cluster::start(Profile::Fast).unwrap());
    assert_gone(&directory);
}
