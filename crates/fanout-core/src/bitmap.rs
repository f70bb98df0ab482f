//! Sets of consumer groups, one bit per group.
//!
//! A completion record stores two of these as `bytea`: the groups that must settle a message and
//! those that have. [`GroupBitmap`] reads and writes exactly those bytes.

use std::fmt;

use bitvec::order::Lsb0;
use bitvec::vec::BitVec;
use thiserror::Error;

/// How many groups a topic can have at once; indexes run from 0 to `MAX_GROUPS - 1`.
///
/// It bounds a bitmap at 512 bytes a record.
pub const MAX_GROUPS: u16 = 4096;

const MAX_BYTES: usize = MAX_GROUPS as usize / 8;

/// A group's index is at or above [`MAX_GROUPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("group index is out of range: index=`{index}` limit=`{MAX_GROUPS}`")]
pub struct GroupIndexOutOfRange {
    /// The index that was refused.
    pub index: usize,
}

/// A set of group indexes below [`MAX_GROUPS`].
///
/// # Numbering
///
/// Index n is bit n % 8, least significant first, of byte n / 8: the numbering of Postgres'
/// `set_bit(bytea, n, 1)` and `get_bit(bytea, n)`, so that engines may set bits on either side.
///
/// # Width
///
/// The set has a width of whole bytes, which [`set`](Self::set) grows as needed and nothing
/// shrinks. It matters only to the stored bytes, since `set_bit` refuses a bit beyond them: two
/// bitmaps are equal when they hold the same indexes, whatever their widths.
///
/// ```
/// use fanout_core::GroupBitmap;
///
/// let mut required = GroupBitmap::new();
/// required.set(0)?;
/// required.set(9)?;
/// assert_eq!(required.to_bytes(), [0b0000_0001, 0b0000_0010]);
///
/// let completed = GroupBitmap::from_bytes(&[0b0000_0001])?;
/// assert!(!required.is_subset(&completed));
/// assert_eq!(required.difference(&completed).iter().collect::<Vec<_>>(), [9]);
/// # Ok::<(), fanout_core::GroupIndexOutOfRange>(())
/// ```
#[derive(Clone, Default)]
pub struct GroupBitmap {
    /// Always whole bytes, at most `MAX_BYTES`, so that the raw slice has no bits out of use.
    bits: BitVec<u8, Lsb0>,
}

impl GroupBitmap {
    /// An empty set, 0 bytes wide.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty set with room for the indexes below `bits`, rounded up to whole bytes and capped
    /// at [`MAX_GROUPS`].
    #[must_use]
    pub fn with_width(bits: u16) -> Self {
        let mut set = Self::new();
        set.widen(usize::from(bits).div_ceil(8));
        set
    }

    /// Adds `index`, widening the set to the byte that holds it; true if it was not there.
    ///
    /// # Errors
    ///
    /// [`GroupIndexOutOfRange`] at or above [`MAX_GROUPS`]; the set is then as before.
    pub fn set(&mut self, index: u16) -> Result<bool, GroupIndexOutOfRange> {
        if index >= MAX_GROUPS {
            return Err(GroupIndexOutOfRange {
                index: index.into(),
            });
        }
        let index = usize::from(index);
        self.widen(index / 8 + 1);
        Ok(!self.bits.replace(index, true))
    }

    /// Removes `index`, keeping the width; true if it was there.
    pub fn clear(&mut self, index: u16) -> bool {
        self.bits
            .get_mut(usize::from(index))
            .is_some_and(|mut bit| bit.replace(false))
    }

    /// Whether `index` is in the set; never so beyond the width.
    #[must_use]
    pub fn contains(&self, index: u16) -> bool {
        self.bits.get(usize::from(index)).is_some_and(|bit| *bit)
    }

    /// How many indexes the set holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bits.count_ones()
    }

    /// Whether the set holds no index, whatever its width.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.not_any()
    }

    /// The indexes in either set, as wide as the wider one.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.widen(other.byte_width());
        for (byte, theirs) in union
            .bits
            .as_raw_mut_slice()
            .iter_mut()
            .zip(other.as_bytes())
        {
            *byte |= theirs;
        }
        union
    }

    /// The indexes in this set and not in `other`, as wide as this set.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut difference = self.clone();
        for (byte, theirs) in difference
            .bits
            .as_raw_mut_slice()
            .iter_mut()
            .zip(other.as_bytes())
        {
            *byte &= !theirs;
        }
        difference
    }

    /// Whether `other` holds every index of this set.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        let beyond = if planted!(ComparesSharedBytes) {
            &u8::MAX
        } else {
            &0
        };
        let theirs = other.as_bytes().iter().chain(std::iter::repeat(beyond));
        self.as_bytes()
            .iter()
            .zip(theirs)
            .all(|(ours, theirs)| ours & !theirs == 0)
    }

    /// The lowest index at or above `from` that is not in the set.
    ///
    /// Beyond the width everything is unset, so that the answer can be [`MAX_GROUPS`] or more: no
    /// index is left then, and [`set`](Self::set) refuses the answer.
    #[must_use]
    pub fn next_unset(&self, from: u16) -> u16 {
        (from..MAX_GROUPS)
            .find(|index| !self.contains(*index))
            .unwrap_or(MAX_GROUPS.max(from))
    }

    /// The indexes in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        // No index is lost to the conversion: the width ends at `MAX_GROUPS`.
        self.bits
            .iter_ones()
            .filter_map(|index| u16::try_from(index).ok())
    }

    /// Grows the width to at least `bytes`, capped at 512, which hold every index; never narrows.
    pub fn widen(&mut self, bytes: usize) {
        let bytes = bytes.min(MAX_BYTES);
        if bytes > self.byte_width() {
            self.bits.resize(bytes * 8, false);
        }
    }

    /// The width in bytes: the length of what [`to_bytes`](Self::to_bytes) returns.
    #[must_use]
    pub fn byte_width(&self) -> usize {
        self.as_bytes().len()
    }

    /// The set as stored, in the numbering of Postgres' `set_bit`, trailing zero bytes included.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    /// Reads a stored set and keeps its width, but for zero bytes beyond the 512th.
    ///
    /// # Errors
    ///
    /// [`GroupIndexOutOfRange`] with the lowest index at or above [`MAX_GROUPS`] that is set.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GroupIndexOutOfRange> {
        let (bytes, beyond) = bytes.split_at(bytes.len().min(MAX_BYTES));
        if let Some(byte) = beyond.iter().position(|byte| *byte != 0) {
            let bit = beyond[byte].trailing_zeros() as usize;
            return Err(GroupIndexOutOfRange {
                index: (MAX_BYTES + byte) * 8 + bit,
            });
        }
        let mut bits = BitVec::from_slice(bytes);
        if planted!(ReadsNarrower) {
            bits.truncate(bits.last_one().map_or(0, |last| (last / 8 + 1) * 8));
        }
        Ok(Self { bits })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bits.as_raw_slice()
    }
}

impl PartialEq for GroupBitmap {
    fn eq(&self, other: &Self) -> bool {
        self.is_subset(other) && other.is_subset(self)
    }
}

impl Eq for GroupBitmap {}

/// # Panics
///
/// On an index at or above [`MAX_GROUPS`]: use [`GroupBitmap::set`] where it may occur.
impl FromIterator<u16> for GroupBitmap {
    fn from_iter<I: IntoIterator<Item = u16>>(indexes: I) -> Self {
        let mut set = Self::new();
        for index in indexes {
            if let Err(error) = set.set(index) {
                panic!("{error}");
            }
        }
        set
    }
}

impl fmt::Debug for GroupBitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
