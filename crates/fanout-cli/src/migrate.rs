//! `fanout migrate`.

use clap::{Args, Subcommand};
use fanout::Migrator;

use crate::database;
use crate::failure::Result;
use crate::output::Output;
use crate::record::Record;

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the schema up to this version.
    Up,
    /// Take back the latest migrations.
    Down {
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 1)]
        steps: usize,
        /// Also when messages are lost that some group has not settled.
        #[arg(long)]
        force: bool,
    },
    /// Show which migrations the database has.
    Status,
}

impl Migrate {
    pub(crate) async fn run(self, url: Option<String>, output: &mut Output) -> Result<()> {
        let migrator = Migrator::new(database::url(url)?);
        match self.command {
            Command::Up => {
                let names = migrator.up().await?;
                report(
                    output,
                    "applied",
                    &names,
                    "nothing to apply: the schema is up to date",
                )
            }
            Command::Down { steps, force } => {
                let names = migrator.down(steps, force).await?;
                report(
                    output,
                    "reverted",
                    &names,
                    "nothing to revert: the schema is empty",
                )
            }
            Command::Status => {
                let records: Vec<_> = migrator
                    .status()
                    .await?
                    .into_iter()
                    .map(|migration| {
                        Record::new()
                            .with("version", migration.version)
                            .with("name", migration.name)
                            .with("applied", migration.applied)
                    })
                    .collect();
                output.records(&["version", "name", "applied"], &records)
            }
        }
    }
}

fn report(output: &mut Output, verb: &'static str, names: &[String], none: &str) -> Result<()> {
    if output.is_json() {
        return output.json(&Record::new().with(verb, names));
    }
    if names.is_empty() {
        return output.line(none);
    }
    names
        .iter()
        .try_for_each(|name| output.line(format_args!("{verb} {name}")))
}
