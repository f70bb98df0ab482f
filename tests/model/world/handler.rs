/// A delivery in the hands of whoever handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handler {
    pub(crate) id: u8,
    /// Which delivery of the message it is: the number in a receipt by cursor, the token in others.
    pub(crate) serial: u8,
    pub(crate) form: Form,
    /// The lease has not ended.
    pub(crate) leased: bool,
    pub(crate) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Form {
    /// By tracking row. Whose session it was does not matter.
    Row,
    Cursor {
        member: u8,
        epoch: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    InHand,
    /// Part of a commit of the member.
    Committing,
    /// In a caller's transaction: still in hand, and nothing before it is unsettled.
    Prepared,
    /// In a caller's transaction: its row is in `outbox_settlements`, not committed.
    Inserted,
    /// In a caller's transaction: the receipt was checked.
    Checked,
}
