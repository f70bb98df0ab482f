//! What the system tells of other processes: by `/proc`, or by `ps` where there is none.

use std::{fs, process::Command};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Result, hash::fnv, wait};

/// What `/proc` or `ps` says of a process that has not ended.
struct Process {
    parent: u32,
    /// With the pid it names one process, also after the pid was given to another one.
    started: u64,
}

/// When `pid` started, as a number that only has meaning on this machine; none if it has ended.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    read(pid).map(|process| process.started)
}

/// The command line of `pid`, in one string.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => Some(String::from_utf8_lossy(&line).replace('\0', " ")),
        Err(_) => ps(&["-o", "args=", "-p", &pid.to_string()]),
    }
}

/// Kills `parent` and its children at once, and waits until they are gone.
pub(crate) fn kill_family(parent: u32) -> Result<()> {
    // Stopped first, so that it has no more children and does not mourn these.
    send(parent, Signal::SIGSTOP);
    let mut family = children(parent);
    family.push(parent);
    for &pid in &family {
        send(pid, Signal::SIGKILL);
    }
    wait::until(format!("end of process {parent}"), wait::LONG, || {
        Ok(family
            .iter()
            .all(|&pid| start_time(pid).is_none())
            .then_some(()))
    })
}

/// A process that ended in the meantime is none to signal, hence no error.
fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

pub(crate) fn children(parent: u32) -> Vec<u32> {
    all()
        .into_iter()
        .filter(|&pid| read(pid).is_some_and(|it| it.parent == parent))
        .collect()
}

fn all() -> Vec<u32> {
    match fs::read_dir("/proc/self").and_then(|_| fs::read_dir("/proc")) {
        Ok(entries) => entries
            .flatten()
            .filter_map(|it| it.file_name().to_str()?.parse().ok())
            .collect(),
        Err(_) => {
            let listed = ps(&["-A", "-o", "pid="]).unwrap_or_default();
            listed
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect()
        }
    }
}

/// A zombie counts as ended: nobody may ever reap it, as in a container without an init.
fn read(pid: u32) -> Option<Process> {
    if fs::metadata("/proc/self").is_ok() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything; what follows is fields 3 and on.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ended = matches!(*fields.first()?, "Z" | "X");
        let process = Process {
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        };
        return (!ended).then_some(process);
    }
    let line = ps(&["-o", "ppid=,stat=,lstart=", "-p", &pid.to_string()])?;
    let (parent, rest) = line.trim().split_once(char::is_whitespace)?;
    let (state, started) = rest.trim().split_once(char::is_whitespace)?;
    let process = Process {
        parent: parent.parse().ok()?,
        started: fnv(&[started.trim()]),
    };
    (!state.starts_with('Z')).then_some(process)
}

fn ps(arguments: &[&str]) -> Option<String> {
    let output = Command::new("ps")
        .env("LC_ALL", "C")
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
