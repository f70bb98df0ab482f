//! P2: what a message costs with more and more groups.

use crate::args::P2;
use crate::failure::Result;
use crate::series;
use crate::settings::{Cell, Settings};

impl P2 {
    pub(crate) async fn run(self) -> Result<()> {
        series::run_all("p2", &self.place, &self.runs(), self.json).await
    }

    fn runs(&self) -> Vec<Settings> {
        let mut runs = Vec::new();
        for &groups in &self.groups {
            for mode in self.mode.list() {
                let cell = Cell {
                    mode,
                    rate: self.rate,
                    batch: self.load.batch,
                    payload: self.load.payload,
                    groups,
                };
                runs.push(Settings::new(&self.load, cell));
            }
        }
        runs
    }
}
