//! Assertions that are made often.

use std::fmt::Debug;

use fanout_core::{ErrorKind, MessageId, Result};

/// What the receipt of a delivery of the past gets: `Fenced` where the engine found it by the owner
/// of its lane.
pub(crate) const STALE: &[ErrorKind] = &[ErrorKind::StaleReceipt, ErrorKind::Fenced];

/// What a transaction may get that settles what another one settles.
pub(crate) const LOST: &[ErrorKind] = &[
    ErrorKind::Conflict,
    ErrorKind::StaleReceipt,
    ErrorKind::Fenced,
];

/// Asserts that a call failed with one of these kinds, in one line.
#[track_caller]
pub(crate) fn refused<T: Debug>(result: Result<T>, kinds: &[ErrorKind], promise: &str) {
    match result {
        Ok(value) => panic!("{promise}; yet the call succeeded with {value:?}"),
        Err(error) => {
            assert!(
                kinds.contains(&error.kind()),
                "{promise}; expected {kinds:?}, got {:?}: {error}",
                error.kind()
            );
            assert!(
                !error.to_string().contains('\n'),
                "messages of errors are one line: {error}"
            );
        }
    }
}

/// Asserts that these are the same ids, each as often, whatever their order.
#[track_caller]
pub(crate) fn same_ids(
    got: impl IntoIterator<Item = MessageId>,
    expected: impl IntoIterator<Item = MessageId>,
    promise: &str,
) {
    let sorted = |ids: Vec<MessageId>| {
        let mut ids: Vec<_> = ids.into_iter().map(MessageId::get).collect();
        ids.sort_unstable();
        ids
    };
    let got = sorted(got.into_iter().collect());
    let expected = sorted(expected.into_iter().collect());
    assert_eq!(got, expected, "{promise} (left: what happened)");
}
