//! The `fanout` command.

mod args;
mod base64;
mod consume;
mod database;
mod dead_letters;
mod demo;
mod duration;
mod exit;
mod failure;
mod input;
mod maintain;
mod migrate;
mod output;
mod publish;
mod rebase;
mod record;
mod seek;
mod signal;
mod subscription;
mod topic;
mod topic_migrate;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::{Failure, Result};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_clap(&error),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(|error| Failure::io("cannot start", error))
        .and_then(|runtime| runtime.block_on(run(cli)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<()> {
    let mut output = Output::new(cli.json);
    let url = cli.database_url;
    let done = match cli.command {
        Command::Demo(demo) => demo.run(url, &mut output).await,
        Command::Migrate(migrate) => migrate.run(url, &mut output).await,
        Command::Topic(topic) => topic.run(url, &mut output).await,
        Command::Subscription(subscription) => subscription.run(url, &mut output).await,
        Command::Publish(publish) => publish.run(url, &mut output).await,
        Command::Consume(consume) => consume.run(url, &mut output).await,
        Command::DeadLetters(dead_letters) => dead_letters.run(url, &mut output).await,
        Command::Maintain(maintain) => maintain.run(url, &mut output).await,
        Command::Rebase(rebase) => rebase.run(url, &mut output).await,
    };
    // What was printed before a failure is worth having too.
    let flushed = output.flush();
    done.and(flushed)
}
