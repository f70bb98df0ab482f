use super::Ids;

/// What happened, for the properties alone: no step depends on it, but for the numbers of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct History {
    /// By message.
    deliveries: [u8; 8],
    /// The last one whose lease had not ended when it was made.
    leased: [u8; 8],
    pub(crate) delivered: Ids,
    pub(crate) parked: Ids,
    /// Settled by a call of their own.
    pub(crate) plain: Ids,
    /// Of these: the caller was told Ok.
    pub(crate) acknowledged: Ids,
    /// Settled by a caller's transaction that committed.
    pub(crate) in_tx: Ids,
    /// Settlements of callers' transactions that were folded into tracking rows.
    pub(crate) folded: Ids,
    faults: u8,
}

/// What must not happen and is seen when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A second settlement of a message took effect.
    SettledTwice,
    /// A receipt took effect though the message had been delivered again.
    StaleReceipt,
    /// A settlement was counted twice.
    FoldedTwice,
    /// A message was delivered that is not owed.
    Phantom,
    /// A cursor forgot what it had settled.
    WentBack,
    /// A cursor was changed by somebody who did not own it or did not know where it stood.
    Unfenced,
    /// Delivered ahead of an earlier message of its key.
    DeliveredEarly,
    /// Settled ahead of one.
    SettledEarly,
}

impl History {
    pub(crate) fn blame(&mut self, fault: Fault) {
        self.faults |= 1 << fault as u8;
    }

    /// Notes a delivery; returns its number.
    pub(crate) fn deliver(&mut self, id: u8, leased: bool) -> u8 {
        let deliveries = &mut self.deliveries[usize::from(id)];
        *deliveries += 1;
        if leased {
            self.leased[usize::from(id)] = *deliveries;
        }
        self.delivered.insert(id);
        *deliveries
    }

    /// Whether a message was delivered again, under a lease, after this delivery.
    pub(crate) fn is_outdated(&self, id: u8, serial: u8) -> bool {
        serial < self.leased[usize::from(id)]
    }

    pub(crate) const fn has(&self, fault: u8) -> bool {
        self.faults & (1 << fault) != 0
    }

    pub(crate) const fn settled(&self) -> Ids {
        self.plain.or(self.in_tx)
    }
}
