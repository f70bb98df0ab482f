//! Equivalence (E1): engines that see the same history owe, deliver and settle the same.
//!
//! A history is a list of [ops](op::Op), made and shrunk by proptest, or decoded from the bytes of a
//! fuzzer. The [driver] does it to one engine on some [terms]: with reference counting, by reading
//! offsets, or with changes between the two; the [acceptor] rejects every answer that the contract
//! does not allow. The tests and the fuzz target that use this are in `equivalence` and in `fuzz`.

pub mod acceptor;
pub mod campaign;
pub mod coverage;
pub mod driver;
pub mod generate;
pub mod handler;
pub mod history;
pub mod minimise;
pub mod modes;
pub mod op;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod published;
pub mod pure;
pub mod reader;
pub mod size;
pub mod subject;
pub mod terms;
