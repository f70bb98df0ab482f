//! Chance that is the same every time.

/// A small source of chance.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// One of many: another one for each `number`.
    pub(crate) fn new(number: usize) -> Self {
        Self(0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
