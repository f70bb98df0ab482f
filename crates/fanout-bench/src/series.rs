//! Runs, one after the other.

use fanout_core::{Clock, SystemClock};

use crate::args::PlaceArgs;
use crate::cpu;
use crate::failure::Result;
use crate::output;
use crate::place::Place;
use crate::report::{Environment, Report, Run};
use crate::run::run;
use crate::settings::Settings;

/// Runs them all and prints what they measured; after a failure, what had been measured by then.
pub(crate) async fn run_all(
    scenario: &'static str,
    place: &PlaceArgs,
    runs: &[Settings],
    json: bool,
) -> Result<()> {
    let load = cpu::load();
    let place = Place::open(place).await?;
    let environment = Environment::read(&place, load).await;
    let mut measured = Vec::new();
    let ended = measure(&place, runs, &mut measured).await;
    place.close().await;
    if !measured.is_empty() {
        let report = Report {
            scenario,
            environment: environment?,
            runs: measured,
        };
        output::print(&report, json)?;
    }
    ended
}

async fn measure(place: &Place, runs: &[Settings], measured: &mut Vec<Run>) -> Result<()> {
    for (number, settings) in runs.iter().enumerate() {
        if runs.len() > 1 {
            output::progress(number + 1, runs.len(), settings);
        }
        let url = place.database(number).await?;
        let name = format!("bench-{}", SystemClock.now().as_micros());
        measured.push(run(&url, place.postmaster(), &name, settings.clone()).await?);
        place.discard(number).await?;
    }
    Ok(())
}
