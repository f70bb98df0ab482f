//! What the demo runs on.

use fanout::{MemoryBackend, Migrator, PostgresBackend};
use fanout_testpg::{Cluster, Profile};
use tokio::task::spawn_blocking;

use super::{Demo, show};
use crate::database;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::signal::Interrupt;

/// Bytes that the memory engine may need for a message besides its payload.
const OVERHEAD: u64 = 1_024;
/// The least that the memory engine is allowed.
const LEAST_BYTES: u64 = 256 << 20;
const CONNECTIONS: usize = 16;
const DATABASE: &str = "fanout_demo";

impl Demo {
    pub(crate) async fn run(self, url: Option<String>, output: &mut Output) -> Result<()> {
        if self.postgres && url.is_some() {
            return Err(Failure::Usage(
                "`--postgres` makes a database of its own; leave out `--database-url`".to_owned(),
            ));
        }
        let interrupt = Interrupt::listen()?;
        if self.postgres {
            return self.on_a_throwaway_cluster(&interrupt, output).await;
        }
        match url.or_else(database::own_variable) {
            Some(url) => {
                self.say("on the given database", output)?;
                self.on_a_database(&url, &interrupt, output).await
            }
            None => {
                self.say(
                    "on the memory engine, which forgets all of it at the end",
                    output,
                )?;
                let bytes = self.messages * (u64::from(self.payload) + OVERHEAD);
                let bytes = usize::try_from(bytes.max(LEAST_BYTES)).unwrap_or(usize::MAX);
                let backend = MemoryBackend::builder().max_bytes(bytes).build();
                show::run(backend, &self, &interrupt, output).await
            }
        }
    }

    async fn on_a_throwaway_cluster(
        &self,
        interrupt: &Interrupt,
        output: &mut Output,
    ) -> Result<()> {
        let started = blocking(|| {
            let cluster = Cluster::start(Profile::Durable)?;
            cluster.create_database(DATABASE)?;
            Ok::<_, fanout_testpg::Error>(cluster)
        });
        let cluster = started.await?;
        let version = cluster.version();
        self.say(
            &format!("on a throwaway Postgres {version}, durable settings"),
            output,
        )?;
        let url = cluster.url(DATABASE);
        let shown = async {
            Migrator::new(&url).up().await?;
            self.on_a_database(&url, interrupt, output).await
        };
        let shown = shown.await;
        // Waits until the server is gone.
        blocking(move || drop(cluster)).await;
        shown
    }

    async fn on_a_database(
        &self,
        url: &str,
        interrupt: &Interrupt,
        output: &mut Output,
    ) -> Result<()> {
        let connecting = PostgresBackend::builder(url)
            .pool_size(CONNECTIONS)
            .connect();
        let backend = connecting.await?;
        show::run(backend, self, interrupt, output).await
    }

    fn say(&self, place: &str, output: &mut Output) -> Result<()> {
        if output.is_json() {
            return Ok(());
        }
        output.line(format_args!(
            "{} messages, {place} (seed {})",
            super::board::thousands(self.messages),
            self.seed
        ))?;
        output.flush()
    }
}

/// Does on a thread of its own what blocks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
