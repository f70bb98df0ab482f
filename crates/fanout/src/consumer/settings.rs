//! How a consumer works.

use std::time::Duration;

use fanout_core::{Error, ErrorKind, Result};

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) members: usize,
    pub(super) batch_size: usize,
    pub(super) concurrency: usize,
    pub(super) poll_min: Duration,
    pub(super) poll_max: Duration,
    pub(super) settle_after: Duration,
    pub(super) grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            members: 1,
            batch_size: 100,
            concurrency: 16,
            poll_min: Duration::from_millis(1),
            poll_max: Duration::from_millis(250),
            settle_after: Duration::from_millis(10),
            grace: Duration::from_secs(30),
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<()> {
        for (name, value) in [
            ("members", self.members),
            ("batch_size", self.batch_size),
            ("concurrency", self.concurrency),
        ] {
            if value == 0 {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("a consumer needs {name} of 1 or more {name}=`0`"),
                ));
            }
        }
        if self.poll_min.is_zero() || self.poll_max < self.poll_min {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "polling must wait longer than zero, and no less at most than at least min=`{:?}` max=`{:?}`",
                    self.poll_min, self.poll_max
                ),
            ));
        }
        Ok(())
    }
}
