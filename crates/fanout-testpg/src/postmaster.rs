//! The server's first process, found by the file that it keeps in its data directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Result,
    process::{self, command_line, kill_family, start_time},
};

/// The pid of the server that runs in the cluster's `directory`.
pub(crate) fn pid(directory: &Path) -> Option<u32> {
    let pid = line(directory, 0)?
        .parse()
        .ok()
        .filter(|&pid| start_time(pid).is_some())?;
    // The file may be old, and its pid somebody else's by now.
    let ours = command_line(pid)?.contains(&*directory.to_string_lossy());
    ours.then_some(pid)
}

/// Kills the server with all its processes, if it runs, and removes what it would have removed.
pub(crate) fn kill(directory: &Path) -> Result<()> {
    let Some(pid) = pid(directory) else {
        return Ok(());
    };
    let memory = shared_memory(pid);
    let segment = line(directory, 6);
    kill_family(pid)?;
    for file in memory {
        let _ = fs::remove_file(file);
    }
    if let Some(id) = segment
        .as_deref()
        .and_then(|line| line.split_whitespace().nth(1))
    {
        // It is small, but macOS has few of them.
        let quiet = || Stdio::null();
        let _ = Command::new("ipcrm")
            .args(["-m", id])
            .stdout(quiet())
            .stderr(quiet())
            .status();
    }
    forget(directory);
    Ok(())
}

/// Removes the files by which a server that did not end by itself seems to run still: if nobody
/// reaps the dead process, as in a container without an init, the next server takes it for alive.
pub(crate) fn forget(directory: &Path) {
    for name in ["data/postmaster.pid", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"] {
        let _ = fs::remove_file(directory.join(name));
    }
}

/// The files behind the memory that the server shares with its children; Linux only.
fn shared_memory(pid: u32) -> Vec<PathBuf> {
    let family = process::children(pid).into_iter().chain([pid]);
    let maps = family.filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/maps")).ok());
    let lines: Vec<_> = maps
        .flat_map(|maps| maps.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let named = |line: &String| Some(PathBuf::from(&line[line.find("/dev/shm/PostgreSQL.")?..]));
    lines.iter().filter_map(named).collect()
}

fn line(directory: &Path, number: usize) -> Option<String> {
    let text = fs::read_to_string(directory.join("data/postmaster.pid")).ok()?;
    text.lines().nth(number).map(|line| line.trim().to_owned())
}
