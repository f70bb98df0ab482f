//! Bringing the schema up and down.

use std::collections::BTreeSet;
use std::sync::Arc;

use diesel::Connection as _;
use diesel::connection::InstrumentationEvent;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::pg::Pg;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use fanout_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;

use crate::connect::{check_url, establish, unavailable};
use crate::error::{Effect, ResultExt, classify, one_line};
use crate::storage::{database, ledger};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

type Blocking = AsyncConnectionWrapper<AsyncPgConnection>;

/// One migration and whether it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its version, which orders migrations.
    pub version: String,
    /// What it brings.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// Brings the schema `fanout` of a database up and down.
///
/// Each call is one transaction under an advisory lock, so that any number of processes may migrate
/// at once. The ledger stands in the schema `fanout`; the application's own is not touched.
#[derive(Clone, Debug)]
pub struct Migrator {
    url: String,
}

/// The versions that this library knows.
pub(crate) fn versions() -> BTreeSet<String> {
    known()
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect()
}

fn known() -> Vec<Box<dyn Migration<Pg>>> {
    let mut migrations = MigrationSource::<Pg>::migrations(&MIGRATIONS)
        .expect("embedded migrations are well-formed");
    migrations.sort_by_key(|migration| migration.name().version().as_owned());
    migrations
}

impl Migrator {
    /// For the database at this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into() }
    }

    /// Applies all migrations that the database lacks and returns their names.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`]; [`ErrorKind::SchemaMismatch`] when the database has migrations
    /// that this library does not know; [`ErrorKind::Unsupported`] when it is not in UTF8.
    pub async fn up(&self) -> Result<Vec<String>> {
        self.run(|connection| {
            let applied = applied(connection)?;
            refuse_unknown(&applied)?;
            let mut done = Vec::new();
            for migration in known() {
                if !applied.contains(&migration.name().version().to_string()) {
                    connection
                        .run_migration(&*migration)
                        .map_err(|error| failed(&*error))?;
                    done.push(migration.name().to_string());
                }
            }
            #[cfg(fanout_planted)]
            if let Some(mistake) = fanout_core::planted::in_force().filter(|_| !done.is_empty()) {
                crate::storage::planted::apply(connection, mistake)?;
            }
            Ok(done)
        })
        .await
    }

    /// Reverts the last `steps` migrations, latest first, and returns their names.
    ///
    /// # Errors
    /// [`ErrorKind::WouldLoseMessages`] with counts when messages would be lost and it is not
    /// forced: then nothing was reverted. Others as [`up`](Self::up).
    pub async fn down(&self, steps: usize, force: bool) -> Result<Vec<String>> {
        self.run(move |connection| {
            if force {
                ledger::force_down(connection)?;
            }
            let applied = applied(connection)?;
            refuse_unknown(&applied)?;
            let mut done = Vec::new();
            for migration in known().into_iter().rev() {
                if done.len() < steps && applied.contains(&migration.name().version().to_string()) {
                    connection
                        .revert_migration(&*migration)
                        .map_err(|error| failed(&*error))?;
                    done.push(migration.name().to_string());
                }
            }
            Ok(done)
        })
        .await
    }

    /// All migrations that this library knows, oldest first, then those that only the database has.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`].
    pub async fn status(&self) -> Result<Vec<MigrationStatus>> {
        let mut connection = connect(&self.url).await?;
        let mut applied = ledger::applied(&mut connection).await?;
        let mut status: Vec<_> = known()
            .iter()
            .map(|migration| {
                let version = migration.name().version().to_string();
                let applied = applied.remove(&version);
                MigrationStatus {
                    version,
                    name: migration.name().to_string(),
                    applied,
                }
            })
            .collect();
        status.extend(applied.into_iter().map(|version| MigrationStatus {
            name: format!("{version} (unknown to this version)"),
            version,
            applied: true,
        }));
        Ok(status)
    }

    /// Makes a database usable that was restored from a dump into another cluster: the log tells what
    /// is new by transaction ids, and those that were dumped mean nothing there. Returns how many
    /// messages it rewrote, 0 when nothing is wrong.
    ///
    /// Nobody should publish or consume before. What is in hand anywhere is delivered again.
    ///
    /// # Errors
    /// [`ErrorKind::SchemaMismatch`] unless the schema is this library's;
    /// [`ErrorKind::NeedsRebase`] when the cluster has used so few transaction ids yet that there are
    /// none to replace the others by; [`ErrorKind::Conflict`] when an open publisher does not end in
    /// time. Others as [`up`](Self::up).
    pub async fn rebase(&self) -> Result<u64> {
        self.run(|connection| {
            ledger::refuse_other(&applied(connection)?)?;
            let rewritten = database::rebase(connection)?;
            Ok(u64::try_from(rewritten).unwrap_or(0))
        })
        .await
    }

    /// Runs blocking work in one transaction, serialised against every other migrator.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Blocking) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let mut connection = connect(&self.url).await?;
        // diesel turns a failed statement of a migration into text; its kind is caught on the way.
        let refusal = Arc::new(Mutex::new(None));
        let seen = refusal.clone();
        diesel_async::AsyncConnection::set_instrumentation(
            &mut connection,
            move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::FinishQuery {
                    error: Some(error), ..
                } = event
                {
                    seen.lock()
                        .get_or_insert_with(|| classify(error, Effect::Possible));
                }
            },
        );
        // diesel's harness blocks; the connection's own task goes on driving it meanwhile.
        let task = tokio::task::spawn_blocking(move || {
            let mut connection = Blocking::from(connection);
            connection
                .transaction(|connection| {
                    ledger::begin(connection)?;
                    work(connection)
                })
                .map_err(|Failure(error)| match refusal.lock().take() {
                    Some((kind, message)) => Error::new(kind, message).with_source(error),
                    None => error,
                })
        });
        task.await.map_err(|error| {
            Error::new(ErrorKind::Database, "the migration was interrupted").with_source(error)
        })?
    }
}

/// An error in a transaction of diesel's, which wants to add its own.
struct Failure(Error);

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        Self(
            Err::<(), _>(error)
                .committing()
                .expect_err("it is an error"),
        )
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

async fn connect(url: &str) -> Result<AsyncPgConnection> {
    check_url(url)?;
    establish(url).await.map_err(unavailable)
}

fn applied(connection: &mut Blocking) -> Result<BTreeSet<String>, Failure> {
    let versions: Vec<MigrationVersion<'_>> = connection
        .applied_migrations()
        .map_err(|error| failed(&*error))?;
    Ok(versions.iter().map(ToString::to_string).collect())
}

fn refuse_unknown(applied: &BTreeSet<String>) -> Result<(), Failure> {
    match applied.difference(&versions()).next() {
        None => Ok(()),
        Some(unknown) => Err(Failure(Error::new(
            ErrorKind::SchemaMismatch,
            format!(
                "database schema is newer than this library, upgrade the library unknown_migration=`{unknown}`"
            ),
        ))),
    }
}

fn failed(error: &(dyn std::error::Error + Send + Sync)) -> Failure {
    Failure(Error::new(
        ErrorKind::Database,
        one_line(&error.to_string()),
    ))
}
