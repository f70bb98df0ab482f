//! The command line.

use clap::{Parser, Subcommand};

use crate::consume::Consume;
use crate::dead_letters::DeadLetters;
use crate::demo::Demo;
use crate::maintain::Maintain;
use crate::migrate::Migrate;
use crate::publish::Publish;
use crate::rebase::Rebase;
use crate::subscription::SubscriptionArgs;
use crate::topic::TopicArgs;
use crate::{database, exit};

/// Consumer-group fan-out on the Postgres you already run.
#[derive(Debug, Parser)]
#[command(name = "fanout", version, after_help = exit::TABLE)]
pub(crate) struct Cli {
    #[arg(long, global = true, value_name = "URL", help = database::HELP)]
    pub(crate) database_url: Option<String>,

    /// Print one JSON object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the main job and prove its accounting; needs no set-up.
    Demo(Demo),
    /// Create, remove or inspect the database schema.
    Migrate(Migrate),
    /// Create, change, inspect and delete topics.
    Topic(TopicArgs),
    /// Subscribe groups, and pause, inspect and cancel subscriptions.
    #[command(alias = "sub")]
    Subscription(SubscriptionArgs),
    /// Publish messages: arguments, a file, or lines on standard input.
    Publish(Publish),
    /// Print messages of a group or queue and settle them.
    Consume(Consume),
    /// Print the messages that groups gave up.
    DeadLetters(DeadLetters),
    /// Do the upkeep that is due, again and again.
    Maintain(Maintain),
    /// Repair a database that was restored from a dump.
    Rebase(Rebase),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
