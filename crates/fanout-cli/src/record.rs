//! What is printed of one thing: named values, in order.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record(Vec<(&'static str, Value)>);

impl Record {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// A field whose value has a text of its own, or none.
    #[must_use]
    pub(crate) fn with_text(self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.with(name, value.map(|value| value.to_string()))
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.0.iter().map(|(name, value)| (*name, cell(value)))
    }

    pub(crate) fn cell(&self, name: &str) -> String {
        let found = self.0.iter().find(|(field, _)| *field == name);
        found.map_or_else(String::new, |(_, value)| cell(value))
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}

/// Text with its control characters escaped: it stays on its line and cannot steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_text_stays_on_its_line() {
        let record = Record::new()
            .with("z", "a\nb")
            .with("a", 1)
            .with_text("m", None::<String>);
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"z":"a\nb","a":1,"m":null}"#
        );
        assert_eq!(record.cell("z"), r"a\nb");
        assert_eq!(record.cell("m"), "-");
        assert_eq!(record.cell("none"), "");
    }
}
