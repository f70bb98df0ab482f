//! What a benchmark runs on.

use std::path::PathBuf;

use fanout_postgres::Migrator;
use fanout_testpg::{Cluster, Profile};
use tokio::task::spawn_blocking;

use crate::args::PlaceArgs;
use crate::failure::Result;
use crate::storage;

/// A server, and what is to be done to its databases.
#[derive(Debug)]
pub(crate) struct Place {
    server: Server,
    setup: Option<String>,
}

#[derive(Debug)]
enum Server {
    Given(String),
    Throwaway { cluster: Cluster, aged: bool },
}

impl Place {
    /// The database that was given, or a cluster of the benchmark's own.
    pub(crate) async fn open(args: &PlaceArgs) -> Result<Self> {
        let setup = args
            .setup
            .as_ref()
            .map(std::fs::read_to_string)
            .transpose()?;
        let server = match &args.database_url {
            Some(url) => Server::Given(url.clone()),
            None => {
                let mut builder = Cluster::builder(Profile::Durable);
                for (name, value) in &args.settings {
                    builder = builder.setting(name, value);
                }
                if args.statements {
                    builder = builder.setting("shared_preload_libraries", "pg_stat_statements");
                }
                let cluster = blocking(|| builder.start()).await?;
                let aged = !args.fresh;
                Server::Throwaway { cluster, aged }
            }
        };
        let place = Self { server, setup };
        if let Server::Throwaway { aged: true, .. } = place.server {
            storage::age(&storage::connect(&place.url()).await?).await?;
        }
        Ok(place)
    }

    /// The URL of a database with the schema in place; an empty one for each run, unless it was given.
    pub(crate) async fn database(&self, run: usize) -> Result<String> {
        let url = match &self.server {
            Server::Given(url) => url.clone(),
            Server::Throwaway { cluster, .. } => {
                let name = name(run);
                tokio::task::block_in_place(|| cluster.create_database(&name))?;
                cluster.url(&name)
            }
        };
        Migrator::new(&url).up().await?;
        if let Some(setup) = &self.setup {
            storage::execute(&storage::connect(&url).await?, setup).await?;
        }
        Ok(url)
    }

    /// Ends the use of a run's database.
    pub(crate) async fn discard(&self, run: usize) -> Result<()> {
        match self.server {
            Server::Given(_) => Ok(()),
            Server::Throwaway { .. } => {
                storage::drop_database(&storage::connect(&self.url()).await?, &name(run)).await
            }
        }
    }

    /// The URL of a database that is there without a run.
    pub(crate) fn url(&self) -> String {
        match &self.server {
            Server::Given(url) => url.clone(),
            Server::Throwaway { cluster, .. } => cluster.url("postgres"),
        }
    }

    /// The server's first process, when its CPU time can be read.
    pub(crate) fn postmaster(&self) -> Option<u32> {
        match &self.server {
            Server::Given(_) => None,
            Server::Throwaway { cluster, .. } => cluster.pid(),
        }
    }

    /// Where the files of a throwaway server are.
    pub(crate) fn data_dir(&self) -> Option<PathBuf> {
        match &self.server {
            Server::Given(_) => None,
            Server::Throwaway { cluster, .. } => Some(cluster.data_dir()),
        }
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self.server {
            Server::Given(_) => "given database",
            Server::Throwaway { aged: true, .. } => {
                "throwaway cluster, aged, durable settings, empty database"
            }
            Server::Throwaway { aged: false, .. } => {
                "throwaway cluster, durable settings, empty database"
            }
        }
    }

    /// Waits until the throwaway cluster is gone.
    pub(crate) async fn close(self) {
        blocking(move || drop(self)).await;
    }
}

fn name(run: usize) -> String {
    format!("bench_{run}")
}

/// Does on a thread of its own what blocks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
