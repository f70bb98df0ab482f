//! At most one call of a kind under way.

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;

/// A call that goes on while the session does other things.
pub(super) struct Call<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Call<T> {
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn begin(&mut self, call: impl Future<Output = T> + Send + 'static) {
        self.0 = Some(Box::pin(call));
    }

    /// Waits for the call's end: forever when none is under way. Dropping the wait keeps the call.
    pub(super) async fn ended(&mut self) -> T {
        let result = match &mut self.0 {
            Some(call) => call.await,
            None => pending().await,
        };
        self.0 = None;
        result
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.is_under_way()).finish()
    }
}
