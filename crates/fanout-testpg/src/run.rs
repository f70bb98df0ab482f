use std::{env, os::unix::process::parent_id, sync::OnceLock, time::Duration};

use tokio_postgres::Client;

use crate::{
    Cluster, Error, Result, admin, hash::fnv, locate::wheel_forced, names, process::start_time, url,
};

/// For how long the cluster of a run waits for the next process of tests.
const GRACE: Duration = Duration::from_secs(5);

/// After how many seconds a database of another machine counts as left behind.
const LEFT_BEHIND: u64 = 24 * 60 * 60;

/// Where the databases of a run of the tests are made.
#[derive(Debug)]
pub(crate) enum Run {
    /// The run's own cluster.
    Cluster(Cluster),
    /// The server of `DATABASE_URL`.
    Given(String),
}

impl Run {
    /// This run's; found or started by the first test of the process.
    pub(crate) async fn get() -> Result<&'static Self> {
        static RUN: OnceLock<Result<Run>> = OnceLock::new();
        if let Some(run) = RUN.get() {
            return run.as_ref().map_err(Error::clone);
        }
        let started = tokio::task::spawn_blocking(|| RUN.get_or_init(Self::start).as_ref());
        started
            .await
            .unwrap_or_else(|end| std::panic::resume_unwind(end.into_panic()))
            .map_err(Error::clone)
    }

    fn start() -> Result<Self> {
        let given = env::var("DATABASE_URL")
            .ok()
            .filter(|url| !url.is_empty() && !wheel_forced());
        match given {
            Some(url) => {
                let run = Self::Given(url);
                admin::blocking(run.sweep())?;
                Ok(run)
            }
            None => Cluster::shared(&name(), GRACE).map(Self::Cluster),
        }
    }

    /// Whether it is a cluster that this crate set up.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Connects to where databases are made from.
    pub(crate) async fn connect(&self) -> Result<Client> {
        match self {
            Self::Cluster(cluster) => admin::connect(&cluster.url("postgres")).await,
            Self::Given(url) => admin::connect(url).await,
        }
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        match self {
            Self::Cluster(cluster) => cluster.url(database),
            Self::Given(url) => url::with_database(url, database),
        }
    }

    /// Removes what processes left behind that could not clean up.
    async fn sweep(&self) -> Result<()> {
        let client = self.connect().await?;
        let now = admin::now(&client).await?;
        for name in admin::find_databases(&client, names::ALL).await? {
            let Some((owner, made)) = names::parse(&name) else {
                continue;
            };
            // Another process may be at it as well, so a failure is none.
            let _ = if owner.is_here() && !owner.runs() {
                self.remove(&client, &name).await
            } else if !owner.is_here() && now.saturating_sub(made) > LEFT_BEHIND {
                remove_unused(&client, &name).await
            } else {
                Ok(())
            };
        }
        Ok(())
    }

    async fn remove(&self, client: &Client, name: &str) -> Result<()> {
        admin::unseal_template(client, name).await?;
        admin::drop_database(client, name, &self.url(name)).await
    }
}

async fn remove_unused(client: &Client, name: &str) -> Result<()> {
    admin::unseal_template(client, name).await?;
    admin::drop_unused_database(client, name).await
}

/// What tells this run from others: nextest's name for it, or the process that runs the tests.
fn name() -> String {
    let runner = || {
        let pid = parent_id();
        format!("{pid}-{}", start_time(pid).unwrap_or_default())
    };
    let run = ["FANOUT_PG_RUN", "NEXTEST_RUN_ID"]
        .iter()
        .find_map(|name| env::var(name).ok());
    let choice =
        ["FANOUT_PG_BIN", "FANOUT_PG_WHEEL"].map(|name| env::var(name).unwrap_or_default());
    let key = fnv(&[&run.unwrap_or_else(runner), &choice[0], &choice[1]]);
    format!("run-{key:016x}")
}
