//! The live table of groups.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table};
use fanout::GroupStats;
use tokio::time::Instant;

use super::group::Group;
use crate::failure::Result;
use crate::output::{Output, plain, trimmed};

/// How often a line is printed where the table cannot be redrawn.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Most groups that a line names one by one.
const NAMED: usize = 8;

/// What the board shows besides the groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) committed: u64,
    pub(super) wanted: u64,
    pub(super) rolled_back: u64,
}

/// Redrawn in place on a terminal; else a line now and then.
#[derive(Debug)]
pub(super) struct Board {
    began: Instant,
    live: bool,
    silent: bool,
    /// Lines of the last drawing.
    drawn: usize,
    line_at: Instant,
}

impl Board {
    pub(super) fn new(output: &Output) -> Self {
        Self {
            began: Instant::now(),
            live: output.is_terminal() && !output.is_json(),
            silent: output.is_json(),
            drawn: 0,
            line_at: Instant::now() + LINE_EVERY,
        }
    }

    /// How long it is worth waiting for the next drawing.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(if self.live { 200 } else { 100 })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Shows where things stand; `last` is the end, which is shown in any case.
    pub(super) fn draw(
        &mut self,
        output: &mut Output,
        progress: Progress,
        groups: &[(Group, GroupStats)],
        last: bool,
    ) -> Result<()> {
        if self.silent {
            return Ok(());
        }
        if self.live || last {
            self.redraw(output, progress, groups)
        } else if self.line_at <= Instant::now() {
            self.line_at = Instant::now() + LINE_EVERY;
            self.line(output, progress, groups)
        } else {
            Ok(())
        }
    }

    fn redraw(
        &mut self,
        output: &mut Output,
        progress: Progress,
        groups: &[(Group, GroupStats)],
    ) -> Result<()> {
        let table = trimmed(table(groups));
        let head = self.head(progress);
        if !self.live {
            output.line(format_args!("{head}\n{table}"))?;
            return output.flush();
        }
        self.drawn = output.redraw(self.drawn, &format!("{head}\n{table}"))?;
        Ok(())
    }

    fn line(
        &self,
        output: &mut Output,
        progress: Progress,
        groups: &[(Group, GroupStats)],
    ) -> Result<()> {
        let mut line = self.head(progress);
        if groups.len() > NAMED {
            let owing = groups.iter().filter(|(_, stats)| stats.pending > 0);
            line.push_str(&format!(
                ", {} of {} groups owe {}",
                owing.count(),
                groups.len(),
                thousands(groups.iter().map(|(_, stats)| stats.pending).sum())
            ));
        } else {
            for (group, stats) in groups {
                let pending = thousands(stats.pending);
                line.push_str(&format!(", {} owes {pending}", group.name));
            }
        }
        output.line(line)?;
        output.flush()
    }

    fn head(&self, progress: Progress) -> String {
        format!(
            "{:>5.1} s  committed {} of {}, rolled back {}",
            self.elapsed().as_secs_f64(),
            thousands(progress.committed),
            thousands(progress.wanted),
            thousands(progress.rolled_back),
        )
    }
}

fn table(groups: &[(Group, GroupStats)]) -> Table {
    let rows = groups.iter().map(|(group, stats)| {
        let [delivered, attempts, settled, dead, crashes] = group.sightings.counts();
        vec![
            group.name.to_string(),
            thousands(delivered),
            thousands(settled),
            thousands(stats.pending),
            thousands(attempts),
            thousands(dead),
            thousands(crashes),
            format!("{:.1} s", stats.lag().as_secs_f64()),
        ]
    });
    let headers = [
        "group",
        "delivered",
        "settled",
        "pending",
        "attempts",
        "dead",
        "crashes",
        "lag",
    ];
    numbers(&headers, rows)
}

/// A table of a name and numbers a row.
pub(super) fn numbers(headers: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = plain();
    let cells = |row: Vec<String>| {
        let align = |(column, text): (usize, String)| {
            let alignment = if column == 0 {
                CellAlignment::Left
            } else {
                CellAlignment::Right
            };
            Cell::new(text).set_alignment(alignment)
        };
        row.into_iter().enumerate().map(align).collect::<Vec<_>>()
    };
    table.set_header(cells(headers.iter().map(ToString::to_string).collect()));
    for row in rows {
        table.add_row(cells(row));
    }
    table
}

/// A number with its thousands apart.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
