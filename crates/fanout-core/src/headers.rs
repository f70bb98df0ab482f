//! Message headers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Headers of a message: a JSON object. Empty by default.
///
/// Engines keep the value, not the text: the order of keys, duplicate keys, and the spelling of
/// numbers may change, as in Postgres' `jsonb`. No text in it may contain U+0000.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(pub Map<String, Value>);

impl Headers {
    /// The value of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value of a header that is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Sets a header and returns its former value.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        self.0.insert(name.into(), value.into())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains_nul(&self) -> bool {
        fn nul(value: &Value) -> bool {
            match value {
                Value::String(text) => text.contains('\0'),
                Value::Array(values) => values.iter().any(nul),
                Value::Object(map) => map
                    .iter()
                    .any(|(key, value)| key.contains('\0') || nul(value)),
                Value::Null | Value::Bool(_) | Value::Number(_) => false,
            }
        }
        self.0
            .iter()
            .any(|(key, value)| key.contains('\0') || nul(value))
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(headers: I) -> Self {
        Self(
            headers
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}
