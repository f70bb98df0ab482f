//! P1: throughput and end-to-end latency.

use fanout_core::{Clock, CompletionMode, SystemClock};

use crate::args::P1;
use crate::cpu;
use crate::failure::{Failure, Result};
use crate::output;
use crate::place::Place;
use crate::report::{Environment, Report};
use crate::run::run;
use crate::settings::Settings;
use crate::storage;

const BATCHES: [u32; 3] = [100, 500, 2000];
const PAYLOADS: [u32; 3] = [512, 2048, 16_384];
const GROUPS: [u32; 3] = [4, 8, 16];

impl P1 {
    pub(crate) async fn run(self) -> Result<()> {
        if self.mode != CompletionMode::ReferenceCounting {
            return Err(Failure::Mode(self.mode));
        }
        let load = cpu::load();
        let place = Place::open(&self).await?;
        let report = self.measure(&place, load).await;
        place.close().await;
        output::print(&report?, self.json)
    }

    async fn measure(&self, place: &Place, load: Option<f64>) -> Result<Report> {
        let cells = self.cells();
        let mut runs = Vec::new();
        let mut server = Vec::new();
        for (number, settings) in cells.iter().enumerate() {
            if cells.len() > 1 {
                output::progress(number + 1, cells.len(), settings);
            }
            let url = place.database(number).await?;
            server = storage::settings(&storage::connect(&url).await?).await?;
            let name = format!("bench-{}", SystemClock.now().as_micros());
            runs.push(run(&url, place.postmaster(), &name, settings.clone()).await?);
        }
        let environment = Environment {
            fanout_version: env!("CARGO_PKG_VERSION"),
            place: place.describe(),
            cores: std::thread::available_parallelism()?.get(),
            load,
            server: server.into_iter().collect(),
        };
        Ok(Report {
            scenario: "p1",
            environment,
            runs,
        })
    }

    fn cells(&self) -> Vec<Settings> {
        if !self.matrix {
            return vec![Settings::new(self, self.batch, self.payload, self.groups)];
        }
        let mut cells = Vec::new();
        for batch in BATCHES {
            for payload in PAYLOADS {
                for groups in GROUPS {
                    cells.push(Settings::new(self, batch, payload, groups));
                }
            }
        }
        cells
    }
}
