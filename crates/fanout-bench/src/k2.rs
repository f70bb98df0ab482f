//! K2: conflicts of commits when lanes are taken over during them.

mod course;
mod fate;
mod feeder;
mod ledger;
mod process;
mod report;

use self::course::Course;
use self::report::K2Report;
use crate::args::K2;
use crate::cpu;
use crate::failure::Result;
use crate::output;
use crate::place::Place;
use crate::report::Environment;

impl K2 {
    /// Prints what was counted, and fails if any of it must not be.
    pub(crate) async fn run(self) -> Result<()> {
        let load = cpu::load();
        let place = Place::open(&self.place).await?;
        let report = self.measure(&place, load).await;
        place.close().await;
        let report = report?;
        output::print(&report, self.json)?;
        report.outcome.check()
    }

    async fn measure(&self, place: &Place, load: Option<f64>) -> Result<K2Report> {
        let environment = Environment::read(place, load).await?;
        let url = place.database(0).await?;
        let outcome = Course::run(&url, &self.course).await?;
        Ok(K2Report {
            scenario: "k2",
            environment,
            settings: self.course.clone(),
            outcome,
        })
    }
}
