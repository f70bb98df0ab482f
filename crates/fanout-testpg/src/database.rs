use crate::{Result, Template, admin, names, run::Run};

/// Postgres's own; `template1` may have been added to.
const EMPTY: &str = "template0";

/// A database for one test, on the run's server. It is dropped when this is, also if the test
/// panics; whatever holds connections to it loses them.
#[derive(Debug)]
pub struct TestDatabase {
    run: &'static Run,
    name: String,
    url: String,
}

impl TestDatabase {
    /// A copy of `template`, which is made and migrated if this is the first copy of the run.
    ///
    /// # Errors
    ///
    /// No Postgres was found or could be fetched, it does not start, it refuses a statement, or
    /// the migration fails.
    pub async fn create(template: &Template) -> Result<Self> {
        Self::make(Some(template)).await
    }

    /// A database without anything in it, for tests of migrations.
    ///
    /// # Errors
    ///
    /// Those of [`TestDatabase::create`], less the migration's.
    pub async fn empty() -> Result<Self> {
        Self::make(None).await
    }

    /// The URL for a client.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database, which no other test's has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn make(template: Option<&Template>) -> Result<Self> {
        let run = Run::get().await?;
        let client = run.connect().await?;
        let template = match template {
            Some(template) => template.ensure(run, &client).await?,
            None => EMPTY.to_owned(),
        };
        let name = names::test(admin::now(&client).await?);
        let url = run.url(&name);
        // Before the statement, so that the database goes also if the caller stops waiting for it.
        let database = Self { run, name, url };
        admin::copy_database(&client, &database.name, &template, run.is_own()).await?;
        Ok(database)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // What stays goes with the cluster, or with the next run on the same server.
        let _ = admin::blocking(async {
            let client = self.run.connect().await?;
            admin::drop_database(&client, &self.name, &self.url).await
        });
    }
}
