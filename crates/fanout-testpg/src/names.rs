//! Names of databases tell whose they are, so that a later run can tell which are nobody's.

use std::{
    fmt, fs,
    os::unix::process::parent_id,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{hash::fnv, process::start_time};

const TEST: &str = "fanout_test";
const TEMPLATE: &str = "fanout_tpl";

/// What all names begin with.
pub(crate) const ALL: &str = "fanout_t";

/// A process somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    host: u32,
    pid: u32,
    started: u32,
}

impl Owner {
    /// This process, which owns the databases of its tests.
    pub(crate) fn this() -> Self {
        Self::of(process::id())
    }

    /// The runner of the tests, which owns the templates that its processes share.
    pub(crate) fn runner() -> Self {
        Self::of(parent_id())
    }

    fn of(pid: u32) -> Self {
        Self {
            host: host(),
            pid,
            started: started(pid).unwrap_or_default(),
        }
    }

    /// Whether it is a process of this machine; only of those one can tell whether they run.
    pub(crate) fn is_here(self) -> bool {
        self.host == host()
    }

    /// Whether it runs, if it is here.
    pub(crate) fn runs(self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}_{}_{:08x}", self.host, self.pid, self.started)
    }
}

/// The name of one more database of this process. `now` is in seconds since 1970.
pub(crate) fn test(now: u64) -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let nth = MADE.fetch_add(1, Ordering::Relaxed);
    format!("{TEST}_{}_{nth}_{now:x}", Owner::this())
}

/// What the name of a template of this run begins with; the time it was made follows.
pub(crate) fn template(name: &str, version: &str) -> String {
    format!(
        "{TEMPLATE}_{}_{:016x}_",
        Owner::runner(),
        fnv(&[name, version])
    )
}

/// Whose a database is and when it was made; none if the name is not one of these.
pub(crate) fn parse(name: &str) -> Option<(Owner, u64)> {
    let rest = name
        .strip_prefix(TEST)
        .or_else(|| name.strip_prefix(TEMPLATE))?;
    let fields: Vec<_> = rest.strip_prefix('_')?.split('_').collect();
    let [host, pid, started, _, made] = fields[..] else {
        return None;
    };
    let owner = Owner {
        host: u32::from_str_radix(host, 16).ok()?,
        pid: pid.parse().ok()?,
        started: u32::from_str_radix(started, 16).ok()?,
    };
    Some((owner, u64::from_str_radix(made, 16).ok()?))
}

/// The machine and, in a container, which one: their pids say nothing to each other.
fn host() -> u32 {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    short(fnv(&[&name.to_string_lossy(), &space.to_string_lossy()]))
}

fn started(pid: u32) -> Option<u32> {
    start_time(pid).map(short)
}

/// Names have at most 63 bytes.
fn short(number: u64) -> u32 {
    (number ^ (number >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_whose_they_are() {
        let test = test(0x1234);
        let template = format!("{}{:x}", template("name", "version"), 0x1234);
        assert_eq!(parse(&test), Some((Owner::this(), 0x1234)));
        assert_eq!(parse(&template), Some((Owner::runner(), 0x1234)));
        assert_eq!(parse("fanout_test_mine"), None);
        assert!(test.starts_with(ALL) && template.starts_with(ALL));
    }

    #[test]
    fn names_are_short_enough() {
        let owner = Owner {
            host: u32::MAX,
            pid: 4_194_304,
            started: u32::MAX,
        };
        let longest = format!("{TEMPLATE}_{owner}_{:016x}_{:x}", u64::MAX, 0xffff_ffff_u64);
        assert!(longest.len() <= 63, "{longest}");
    }
}
