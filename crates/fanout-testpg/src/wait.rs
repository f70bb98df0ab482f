use std::{thread, time::Duration, time::Instant};

use crate::{Error, Result};

/// Asks `done` again and again, at first often, until it answers or `limit` has passed.
pub(crate) fn until<T>(
    what: impl Into<String>,
    limit: Duration,
    mut done: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = done()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(Error::Timeout {
                what: what.into(),
                seconds: limit.as_secs(),
            });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Far longer than anything here takes on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);
