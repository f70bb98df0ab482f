//! How much is kept, and how much may be.

use fanout_core::Headers;
use serde_json::Value;

/// What the accounting of a message takes, roughly; without it empty messages would be free.
const OVERHEAD: usize = 256;

/// The bytes that are kept for messages and dead letters, or promised to open transactions.
#[derive(Debug)]
pub(crate) struct Capacity {
    pub(crate) max: usize,
    pub(crate) used: usize,
}

impl Capacity {
    /// How much has to go before this many bytes fit.
    pub(crate) fn lacking(&self, bytes: usize) -> usize {
        self.used.saturating_add(bytes).saturating_sub(self.max)
    }
}

/// What one message counts.
pub(crate) fn cost(key: Option<&str>, headers: &Headers, payload: &[u8]) -> usize {
    let headers: usize = headers
        .0
        .iter()
        .map(|(name, value)| name.len() + json_bytes(value))
        .sum();
    OVERHEAD + payload.len() + key.map_or(0, str::len) + headers
}

/// About the length of the value as JSON.
fn json_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 2 + text.len(),
        Value::Array(values) => 2 + values.iter().map(json_bytes).sum::<usize>(),
        Value::Object(map) => {
            2 + map
                .iter()
                .map(|(name, value)| 4 + name.len() + json_bytes(value))
                .sum::<usize>()
        }
    }
}
