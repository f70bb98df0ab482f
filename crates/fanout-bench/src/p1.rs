//! P1: throughput and end-to-end latency.

use crate::args::P1;
use crate::failure::Result;
use crate::series;
use crate::settings::{Cell, Settings};

const BATCHES: [u32; 3] = [100, 500, 2000];
const PAYLOADS: [u32; 3] = [512, 2048, 16_384];
const GROUPS: [u32; 3] = [4, 8, 16];

impl P1 {
    pub(crate) async fn run(self) -> Result<()> {
        series::run_all("p1", &self.place, &self.runs(), self.json).await
    }

    fn runs(&self) -> Vec<Settings> {
        let (batches, payloads, groups): (&[_], &[_], &[_]) = if self.matrix {
            (&BATCHES, &PAYLOADS, &GROUPS)
        } else {
            (&[self.load.batch], &[self.load.payload], &[self.groups])
        };
        let mut runs = Vec::new();
        for &batch in batches {
            for &payload in payloads {
                for &groups in groups {
                    for mode in self.mode.list() {
                        let cell = Cell {
                            mode,
                            rate: self.rate,
                            batch,
                            payload,
                            groups,
                        };
                        runs.push(Settings::new(&self.load, cell));
                    }
                }
            }
        }
        runs
    }
}
