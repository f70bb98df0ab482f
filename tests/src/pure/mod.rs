//! What must hold of the pure algorithms, for any input: the fuzz targets call these, and the planted mistakes
//! show that they catch something.

mod group_bitmap;
mod id_set;
mod round_trips;
mod snapshot;

pub use group_bitmap::group_bitmap;
pub use id_set::id_set;
pub use round_trips::round_trips;
pub use snapshot::snapshot;

use arbitrary::{Arbitrary, Unstructured};

/// Reads an input from bytes as libFuzzer has them; bytes that are too few make the shortest.
fn read<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}
