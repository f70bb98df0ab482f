//! Reports as text.

mod activity;
mod by_groups;
mod environment;
mod in_full;
mod overview;
mod text;

pub(crate) use self::environment::environment;
pub(crate) use self::text::{plain, text};

use crate::output::Told;
use crate::report::Report;

impl Told for Report {
    /// In full for one load, with its modes side by side; a line each for many loads.
    fn text(&self) -> String {
        let mut parts = vec![environment(&self.environment)];
        let modes: Vec<_> = self.runs.iter().map(|run| run.settings.mode).collect();
        let one_load = modes.len() == 1 || matches!(modes[..], [one, other] if one != other);
        if self.scenario == "p2" {
            parts.extend(by_groups::render(&self.runs));
        } else if one_load {
            parts.push(in_full::render(&self.runs));
            for run in &self.runs {
                parts.push(activity::tables(run));
                parts.push(activity::seconds(run));
            }
        } else {
            parts.push(overview::render(&self.runs));
        }
        parts.join("\n\n")
    }
}
