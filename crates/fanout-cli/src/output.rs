//! Standard output.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::record::Record;

/// Standard output: text, or one JSON object a line.
#[derive(Debug)]
pub(crate) struct Output {
    to: BufWriter<Stdout>,
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            to: BufWriter::new(io::stdout()),
            json,
        }
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.to.get_ref().is_terminal()
    }

    pub(crate) fn line(&mut self, line: impl Display) -> Result<()> {
        writeln!(self.to, "{line}").map_err(Failure::output)
    }

    pub(crate) fn text(&mut self, text: impl Display) -> Result<()> {
        write!(self.to, "{text}").map_err(Failure::output)
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.to.flush().map_err(Failure::output)
    }

    /// Draws text over what was drawn before, which had so many lines; returns how many it has.
    ///
    /// Without wrapping, so that a line of text is a line of the screen.
    pub(crate) fn redraw(&mut self, drawn: usize, text: &str) -> Result<usize> {
        if drawn > 0 {
            self.text(format_args!("\x1b[{drawn}A"))?;
        }
        self.text("\x1b[?7l")?;
        for line in text.lines() {
            self.line(format_args!("{line}\x1b[K"))?;
        }
        self.text("\x1b[?7h\x1b[J")?;
        self.flush()?;
        Ok(text.lines().count())
    }

    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(value)
            .map_err(|error| Failure::io("cannot write JSON", error.into()))?;
        self.line(line)
    }

    /// One record with all its fields.
    pub(crate) fn record(&mut self, record: &Record) -> Result<()> {
        if self.json {
            return self.json(record);
        }
        let mut table = plain();
        for (name, cell) in record.cells() {
            table.add_row([name.to_owned(), cell]);
        }
        self.line(trimmed(table))
    }

    /// Many records: all their fields as JSON, some columns as text.
    pub(crate) fn records(&mut self, columns: &[&str], records: &[Record]) -> Result<()> {
        if self.json {
            return records.iter().try_for_each(|record| self.json(record));
        }
        if records.is_empty() {
            return Ok(());
        }
        let mut table = plain();
        table.set_header(columns.iter().map(|name| name.replace('_', " ")));
        for record in records {
            table.add_row(columns.iter().map(|name| record.cell(name)));
        }
        self.line(trimmed(table))
    }
}

/// A table without lines, so that it can be cut and searched.
pub(crate) fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

/// A table's text without blanks at the ends of its lines.
pub(crate) fn trimmed(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}
