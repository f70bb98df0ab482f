//! The test of the test: an engine with planted bugs, each of which the acceptor must find.

mod changed_mode;
mod flaw;
mod flawed_backend;
mod flawed_member;
mod flawed_tx;
mod late_receipts;
mod notes;
mod unblocked_lane;

pub(crate) use flaw::Flaw;
pub(crate) use flawed_backend::FlawedBackend;
