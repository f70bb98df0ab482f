use std::{error::Error as StdError, fmt, future::Future, pin::Pin};

use tokio_postgres::Client;

use crate::{Error, Result, admin, hash::fnv, names, run::Run};

type BoxError = Box<dyn StdError + Send + Sync>;
type Migrated = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A database that is migrated once per run; tests get copies of it.
pub struct Template {
    name: &'static str,
    version: String,
    migrate: Box<dyn Fn(String) -> Migrated + Send + Sync>,
}

impl Template {
    /// A template that `migrate` fills, given the URL of an empty database. It is made anew if
    /// `version` differs, which should follow from the migrations.
    pub fn new<M, F, E>(name: &'static str, version: impl Into<String>, migrate: M) -> Self
    where
        M: Fn(String) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let migrate = move |url| -> Migrated {
            let migrated = migrate(url);
            Box::pin(async move { migrated.await.map_err(Into::into) })
        };
        Self {
            name,
            version: version.into(),
            migrate: Box::new(migrate),
        }
    }

    /// The name of the template's database, which is made if this is the first to ask.
    pub(crate) async fn ensure(&self, run: &Run, client: &Client) -> Result<String> {
        let prefix = names::template(self.name, &self.version);
        if let Some(made) = admin::find_template(client, &prefix).await? {
            return Ok(made);
        }
        let key = fnv(&[&prefix]).cast_signed();
        admin::lock(client, key).await?;
        let made = match admin::find_template(client, &prefix).await {
            Ok(None) => self.make(run, client, &prefix).await.map(Some),
            found => found,
        };
        admin::unlock(client, key).await?;
        Ok(made?.unwrap_or_default())
    }

    async fn make(&self, run: &Run, client: &Client, prefix: &str) -> Result<String> {
        // Of a process that was killed while it migrated.
        for unfinished in admin::find_databases(client, prefix).await? {
            admin::drop_database(client, &unfinished, &run.url(&unfinished)).await?;
        }
        let name = format!("{prefix}{:x}", admin::now(client).await?);
        let url = run.url(&name);
        admin::create_database(client, &name).await?;
        if let Err(source) = (self.migrate)(url.clone()).await {
            admin::drop_database(client, &name, &url).await?;
            return Err(Error::Migrate {
                template: self.name,
                source: source.into(),
            });
        }
        admin::seal_template(client, &name).await?;
        Ok(name)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            version,
            migrate: _,
        } = self;
        f.debug_struct("Template")
            .field("name", name)
            .field("version", version)
            .finish_non_exhaustive()
    }
}
