use std::{
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{
    Error, Profile, Result, admin, claim, postmaster,
    process::start_time,
    url,
    user::ServerUser,
    watchdog::{Plan, Watchdog},
};

/// A Postgres server with its own data, which only this machine's user can reach.
///
/// It is stopped and its directory removed when this is dropped, and also if the process ends in
/// any other way.
#[derive(Debug)]
pub struct Cluster {
    watchdog: Watchdog,
}

/// What a cluster is to be like; see [`Cluster::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ClusterBuilder {
    profile: Profile,
    settings: Vec<(String, String)>,
    parent: PathBuf,
}

impl Cluster {
    /// Makes and starts a cluster of one's own, which takes a second or two. Blocks.
    ///
    /// # Errors
    ///
    /// No Postgres was found or could be fetched, or it does not start.
    pub fn start(profile: Profile) -> Result<Self> {
        Self::builder(profile).start()
    }

    /// For a cluster with other settings, or in another place.
    pub fn builder(profile: Profile) -> ClusterBuilder {
        ClusterBuilder {
            profile,
            settings: Vec::new(),
            parent: profile.parent().into(),
        }
    }

    /// The URL of `database`, as superuser; `postgres` is always there.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        url::of_socket(self.directory(), database)
    }

    /// Makes an empty database. Blocks.
    ///
    /// # Errors
    ///
    /// The server refuses, for instance because the name is taken.
    pub fn create_database(&self, name: &str) -> Result<()> {
        let url = self.url("postgres");
        admin::blocking(async move {
            let client = admin::connect(&url).await?;
            admin::create_database(&client, name).await
        })
    }

    /// The postmaster's pid; none if the server is down.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        postmaster::pid(self.directory())
    }

    /// Where the server's files are.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// The server's version, as in `15.4`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.watchdog.server().version
    }

    /// The directory of the server's programs, such as `pgbench`.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.watchdog.server().bin
    }

    /// Kills the server and all its processes with SIGKILL, as a crash would. Blocks until they
    /// are gone; does nothing if the server is down.
    ///
    /// # Errors
    ///
    /// A process does not end.
    pub fn crash(&self) -> Result<()> {
        postmaster::kill(self.directory())
    }

    /// Starts the server after a crash, or stops it first if it runs. Blocks until it takes
    /// connections.
    ///
    /// # Errors
    ///
    /// The server does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.watchdog.restart()
    }

    /// The cluster that is shared under `name`, made if there is none.
    pub(crate) fn shared(name: &str, grace: Duration) -> Result<Self> {
        Self::builder(Profile::Fast).open(name, grace)
    }

    fn directory(&self) -> &Path {
        self.watchdog.directory()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A failure leaves the watchdog at work, which does not give up.
        let _ = self.watchdog.release();
    }
}

impl ClusterBuilder {
    /// Adds a setting of `postgresql.conf`; it prevails over the profile's.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Puts the cluster into a directory below `parent`, which the server's user must be able to
    /// enter. Otherwise it is in memory or `/tmp` (fast), or in `/var/tmp` (durable).
    pub fn parent(mut self, parent: impl Into<PathBuf>) -> Self {
        self.parent = parent.into();
        self
    }

    /// Makes and starts the cluster. Blocks.
    ///
    /// # Errors
    ///
    /// Those of [`Cluster::start`], or the path is too long for a socket.
    pub fn start(self) -> Result<Cluster> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let pid = process::id();
        let nth = STARTED.fetch_add(1, Ordering::Relaxed);
        let since = start_time(pid).unwrap_or_default();
        self.open(&format!("{pid}-{since:x}-{nth}"), Duration::ZERO)
    }

    fn open(&self, name: &str, grace: Duration) -> Result<Cluster> {
        let user = ServerUser::choose()?;
        let parent = self
            .parent
            .canonicalize()
            .map_err(Error::file("find", &self.parent))?;
        let directory = claim::path(&parent, name)?;
        claim::sweep(&parent, user);
        let settings = self.conf(&directory);
        let sync = self.profile == Profile::Durable;
        let plan = Plan {
            user,
            settings,
            sync,
            grace,
        };
        Ok(Cluster {
            watchdog: Watchdog::engage(directory, &plan)?,
        })
    }

    fn conf(&self, directory: &Path) -> String {
        let socket = [("unix_socket_directories", directory.to_string_lossy())];
        let given = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.into()));
        let all = self
            .profile
            .settings()
            .map(|(name, value)| (name, value.into()));
        let lines = all.chain(given).chain(socket).map(|(name, value)| {
            format!(
                "{name} = '{}'\n",
                value.replace('\\', "\\\\").replace('\'', "''")
            )
        });
        lines.collect()
    }
}
