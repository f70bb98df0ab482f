//! `fanout maintain`.

use std::time::Duration;

use clap::Args;
use fanout::{MaintenanceReport, MaintenanceRunner};

use crate::failure::{Result, complain, describe, one_line};
use crate::output::Output;
use crate::record::Record;
use crate::signal::Interrupt;
use crate::{database, duration};

#[derive(Debug, Args)]
pub(crate) struct Maintain {
    /// One round only.
    #[arg(long)]
    once: bool,
    /// How long to wait between rounds.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse)]
    interval: Duration,
}

impl Maintain {
    pub(crate) async fn run(self, url: Option<String>, output: &mut Output) -> Result<()> {
        let backend = database::connect(url).await?;
        if self.once {
            let report = backend.maintain().await?;
            return output.record(&fields(Record::new(), &report));
        }
        let runner = MaintenanceRunner::new(backend)
            .interval(self.interval)
            .on_error(|error| complain(&format!("warning: {}", one_line(&describe(error)))));
        let handle = runner.handle();
        let interrupt = Interrupt::listen()?;
        if !output.is_json() {
            let interval = duration::format(self.interval);
            output.line(format_args!(
                "maintaining every {interval} until interrupted"
            ))?;
            output.flush()?;
        }
        runner.run_until(interrupt.requested()).await?;
        let counters = handle.counters();
        let record = Record::new()
            .with("rounds", counters.rounds)
            .with("failures", counters.failures);
        output.record(&fields(record, &counters.total))
    }
}

fn fields(record: Record, report: &MaintenanceReport) -> Record {
    record
        .with("leaves_created", report.leaves_created)
        .with("settlements_folded", report.settlements_folded)
        .with("rows_reaped", report.rows_reaped)
        .with("subscriptions_caught_up", report.subscriptions_caught_up)
        .with("ticks_taken", report.ticks_taken)
        .with("ticks_merged", report.ticks_merged)
        .with("cursors_advanced", report.cursors_advanced)
        .with("watermarks_moved", report.watermarks_moved)
}
