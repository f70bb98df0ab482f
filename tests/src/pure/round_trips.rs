//! Any bytes into everything that parses: no panic, and what parses comes back as the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use fanout_core::{
    CompletionMode, GroupBitmap, GroupName, Headers, IdSet, MemberName, OnFailure, Ordering,
    Receipt, Semantics, Snapshot, SubscriptionOptions, SubscriptionStatus, Timestamp, TopicConfig,
    TopicName, TopicUpdate, stored_error,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn text<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().ok(), Some(value));
    }
}

fn json<T: DeserializeOwned + Serialize + Debug + PartialEq>(bytes: &[u8]) -> Option<T> {
    let value = serde_json::from_slice::<T>(bytes).ok()?;
    let again = serde_json::to_vec(&value).expect("what was read is written");
    assert_eq!(
        serde_json::from_slice::<T>(&again).ok().as_ref(),
        Some(&value)
    );
    Some(value)
}

/// # Panics
/// When something comes back as another.
pub fn round_trips(bytes: &[u8]) {
    if let Ok(input) = std::str::from_utf8(bytes) {
        text::<IdSet>(input);
        text::<Snapshot>(input);
        text::<TopicName>(input);
        text::<GroupName>(input);
        text::<MemberName>(input);
        text::<CompletionMode>(input);
        text::<Semantics>(input);
        text::<Ordering>(input);
        text::<OnFailure>(input);
        text::<SubscriptionStatus>(input);
        let stored = stored_error(input);
        assert_eq!(stored_error(&stored), stored);
    }

    json::<Receipt>(bytes);
    json::<Headers>(bytes);
    json::<TopicName>(bytes);
    json::<CompletionMode>(bytes);
    json::<SubscriptionStatus>(bytes);
    if let Some(time) = json::<Timestamp>(bytes) {
        assert_eq!(Timestamp::from_micros(time.as_micros()), time);
        let _ = time.to_string();
    }
    // Whether they are valid is another question than whether they can be read.
    if let Some(options) = json::<SubscriptionOptions>(bytes) {
        let _ = options.check();
    }
    if let Some(config) = json::<TopicConfig>(bytes) {
        let _ = config.check();
    }
    if let Some(update) = json::<TopicUpdate>(bytes) {
        let _ = update.apply(&TopicConfig::default());
    }

    if let Some(micros) = bytes.first_chunk() {
        let time = Timestamp::from_micros(i64::from_le_bytes(*micros));
        let _ = time.to_string();
        json::<Timestamp>(&serde_json::to_vec(&time).expect("a time is written"));
    }
    if let Ok(set) = GroupBitmap::from_bytes(bytes) {
        let stored = set.to_bytes();
        assert_eq!(stored, bytes[..bytes.len().min(512)]);
        assert_eq!(GroupBitmap::from_bytes(&stored), Ok(set));
    }
}
