//! X1: the mode of a topic changes back and forth under load.

mod changer;
mod course;
mod feeder;
mod ledger;
mod lock_log;
mod reader;
mod report;

use fanout_core::CompletionMode;

use self::course::{Course, Plan};
use self::lock_log::LockLog;
use self::report::X1Report;
use crate::args::X1;
use crate::cpu;
use crate::failure::Result;
use crate::output;
use crate::place::Place;
use crate::report::Environment;

impl X1 {
    /// Prints what was counted, and fails if any of it must not be.
    pub(crate) async fn run(mut self) -> Result<()> {
        let load = cpu::load();
        if self.place.database_url.is_none() {
            self.place.settings.extend(LockLog::settings());
        }
        let place = Place::open(&self.place).await?;
        let report = self.measure(&place, load).await;
        place.close().await;
        let report = report?;
        output::print(&report, self.json)?;
        report.check()
    }

    async fn measure(&self, place: &Place, load: Option<f64>) -> Result<X1Report> {
        let environment = Environment::read(place, load).await?;
        let log = place.data_dir().map(|directory| LockLog::of(&directory));
        let plans = [
            Plan::Stay(CompletionMode::ReferenceCounting),
            Plan::Stay(CompletionMode::OffsetWatermark),
            Plan::Change,
        ];
        let mut phases = Vec::new();
        for (run, plan) in plans.into_iter().enumerate() {
            let url = place.database(run).await?;
            phases.push(Course::run(&url, &self.course, plan, log.as_ref()).await?);
            place.discard(run).await?;
        }
        Ok(X1Report {
            scenario: "x1",
            environment,
            settings: self.course.clone(),
            phases,
        })
    }
}
