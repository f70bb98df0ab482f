use std::fmt;

/// A few message ids, from 1 to 7.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ids(u8);

impl Ids {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn one(id: u8) -> Self {
        Self(1 << id)
    }

    /// From 1 to this id.
    pub(crate) const fn up_to(last: u8) -> Self {
        Self::range(1, last)
    }

    pub(crate) const fn range(first: u8, last: u8) -> Self {
        let mut ids = 0;
        let mut id = first;
        while id <= last {
            ids |= 1 << id;
            id += 1;
        }
        Self(ids)
    }

    pub(crate) const fn has(self, id: u8) -> bool {
        self.0 & (1 << id) != 0
    }

    pub(crate) const fn with(self, id: u8) -> Self {
        Self(self.0 | 1 << id)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn less(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.less(other).is_empty()
    }

    pub(crate) fn insert(&mut self, id: u8) {
        *self = self.with(id);
    }

    pub(crate) fn remove(&mut self, id: u8) {
        *self = self.less(Self::one(id));
    }

    /// Ascending.
    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = u8> {
        (1..8).filter(move |id| self.has(*id))
    }

    pub(crate) fn matching(self, mut keep: impl FnMut(u8) -> bool) -> Self {
        self.iter().filter(|id| keep(*id)).collect()
    }
}

impl FromIterator<u8> for Ids {
    fn from_iter<T: IntoIterator<Item = u8>>(ids: T) -> Self {
        ids.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
