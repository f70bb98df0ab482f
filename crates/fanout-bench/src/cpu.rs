//! CPU time of processes, from `/proc`. Elsewhere there is none.

use std::{fs, io, thread};

/// The unit of `/proc`'s times: Linux shows 100 a second to programs on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds since the machine or the processes started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// This process.
    pub(crate) client: Option<f64>,
    /// The server with all its processes, ended ones included.
    pub(crate) database: Option<f64>,
    /// The whole machine.
    pub(crate) machine: Option<f64>,
}

impl Cpu {
    /// Reads all; `postmaster` is the server's first process, if it is on this machine.
    pub(crate) fn read(postmaster: Option<u32>) -> Self {
        Self {
            client: Times::of("self").map(|times| times.own),
            database: postmaster.and_then(family),
            machine: machine(&fs::read_to_string("/proc/stat").unwrap_or_default()),
        }
    }

    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let used = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        Self {
            client: used(self.client, earlier.client),
            database: used(self.database, earlier.database),
            machine: used(self.machine, earlier.machine),
        }
    }
}

#[derive(Debug, PartialEq)]
struct Times {
    own: f64,
    /// Of children that have ended and were waited for.
    ended: f64,
}

impl Times {
    fn of(process: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The command's name may hold anything, also parentheses.
        let (_, fields) = stat.rsplit_once(')')?;
        let seconds = |field: &str| Some(field.parse::<f64>().ok()? / TICKS_PER_SECOND);
        let mut times = fields.split_whitespace().skip(11).map_while(seconds);
        let (user, system, ended_user, ended_system) =
            (times.next()?, times.next()?, times.next()?, times.next()?);
        Some(Self {
            own: user + system,
            ended: ended_user + ended_system,
        })
    }
}

/// The postmaster, its children, and those of them that have ended. A child that ends between the
/// two readings would be missed; the next reading has it again.
fn family(postmaster: u32) -> Option<f64> {
    let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
    let living: f64 = children
        .ok()?
        .split_whitespace()
        .filter_map(Times::of)
        .map(|times| times.own)
        .sum();
    let postmaster = Times::of(&postmaster.to_string())?;
    Some(living + postmaster.own + postmaster.ended)
}

/// All but idle time and waiting for disks.
fn machine(stat: &str) -> Option<f64> {
    let fields: Vec<f64> = stat
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = fields[..] else {
        return None;
    };
    Some((user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND)
}

/// The load average over the last minute.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// How many cores this process may use.
pub(crate) fn cores() -> io::Result<usize> {
    Ok(thread::available_parallelism()?.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_a_name_with_parentheses() {
        let stat = "7 (a) (b c)) S 1 7 7 0 -1 4194560 1 2 3 4 100 50 7 3 20 0 1 0 99";
        assert_eq!(
            Times::parse(stat),
            Some(Times {
                own: 1.5,
                ended: 0.1
            })
        );
    }

    #[test]
    fn idle_time_is_not_used() {
        assert_eq!(
            machine("cpu  100 0 100 900 900 0 0 100 0 0\ncpu0 1"),
            Some(3.0)
        );
        assert_eq!(machine(""), None);
    }
}
