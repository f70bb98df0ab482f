//! Benchmark scenarios of fanout.

mod args;
mod consumer;
mod cpu;
mod failure;
mod fleet;
mod hold;
mod k2;
mod latency;
mod modes;
mod output;
mod p1;
mod p2;
mod pause;
mod place;
mod progress;
mod publisher;
mod rate;
mod report;
mod run;
mod sample;
mod series;
mod settings;
mod stamp;
mod storage;
mod table;
mod upkeep;
mod x1;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::{Failure, Result};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(run(cli)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell when this fails too.
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::P1(p1) => p1.run().await,
        Command::P2(p2) => p2.run().await,
        Command::K2(k2) => k2.run().await,
        Command::X1(x1) => x1.run().await,
    }
}
