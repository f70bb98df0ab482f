//! When a message was due, written into its payload.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// How many bytes at the start of a payload the stamp takes.
pub(crate) const STAMP_BYTES: usize = 8;

/// Makes and reads the stamps of one run. Publishers and consumers are in one process, so one
/// monotonic clock measures both ends.
#[derive(Clone, Debug)]
pub(crate) struct Stamps {
    epoch: Instant,
    measured_from: Instant,
    filler: Bytes,
}

impl Stamps {
    /// For payloads of `bytes` bytes, which do not compress.
    pub(crate) fn new(epoch: Instant, warmup: Duration, bytes: u32) -> Self {
        let filler = noise()
            .take((bytes as usize).saturating_sub(STAMP_BYTES))
            .collect();
        Self {
            epoch,
            measured_from: epoch + warmup,
            filler,
        }
    }

    /// A payload that was due at `due`.
    pub(crate) fn payload(&self, due: Instant) -> Bytes {
        let nanos = u64::try_from((due - self.epoch).as_nanos()).unwrap_or(u64::MAX);
        let mut payload = Vec::with_capacity(STAMP_BYTES + self.filler.len());
        payload.extend_from_slice(&nanos.to_le_bytes());
        payload.extend_from_slice(&self.filler);
        payload.into()
    }

    /// When a payload was due; none when it is not one of these.
    pub(crate) fn due(&self, payload: &[u8]) -> Option<Instant> {
        let nanos = payload.first_chunk::<STAMP_BYTES>()?;
        Some(self.epoch + Duration::from_nanos(u64::from_le_bytes(*nanos)))
    }

    /// Whether what was due then counts, and not as part of the warm-up.
    pub(crate) fn is_measured(&self, due: Instant) -> bool {
        due >= self.measured_from
    }
}

/// Bytes without a pattern that a compressor finds (xorshift64).
fn noise() -> impl Iterator<Item = u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let epoch = Instant::now();
        let stamps = Stamps::new(epoch, Duration::from_secs(2), 64);
        let due = epoch + Duration::from_micros(1_999_999);
        let payload = stamps.payload(due);
        assert_eq!(payload.len(), 64);
        assert_eq!(stamps.due(&payload), Some(due));
        assert!(!stamps.is_measured(due));
        assert!(stamps.is_measured(due + Duration::from_micros(1)));
        assert_eq!(stamps.due(&payload[..7]), None);
    }
}
