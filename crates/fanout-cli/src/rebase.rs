//! `fanout rebase`.

use clap::Args;
use fanout::Migrator;

use crate::database;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::record::Record;

/// Makes a database usable that was restored from a dump into another cluster: transaction numbers
/// that it carries mean nothing there, so no tick can be taken until this is done. Stop all
/// publishers and consumers first.
#[derive(Debug, Args)]
pub(crate) struct Rebase {
    /// Yes, this database was restored, and nobody uses it.
    #[arg(long)]
    yes: bool,
}

impl Rebase {
    pub(crate) async fn run(self, url: Option<String>, output: &mut Output) -> Result<()> {
        if !self.yes {
            return Err(Failure::Usage(
                "rebase is for a database that was restored from a dump and that nobody uses yet; \
                 pass `--yes` if that is so"
                    .to_owned(),
            ));
        }
        let rebased = Migrator::new(database::url(url)?).rebase().await?;
        output.record(&Record::new().with("rebased", rebased))
    }
}
