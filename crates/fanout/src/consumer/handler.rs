//! What a consumer does with a delivery.

use std::error::Error as StdError;
use std::future::Future;

use fanout_core::{Delivery, Outcome, Settlement};

/// Any error of a handler.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What a consumer does with a delivery.
///
/// Implemented for functions and closures that take a `&Delivery` and return a future; a closure
/// clones what its future needs:
///
/// ```
/// # use fanout::{BoxError, Delivery, Handler};
/// # fn check(_: impl Handler) {}
/// let (sender, _receiver) = tokio::sync::mpsc::unbounded_channel();
/// let handler = move |delivery: &Delivery| {
///     let (sender, payload) = (sender.clone(), delivery.message.payload.clone());
///     async move { sender.send(payload).map_err(BoxError::from) }
/// };
/// # check(handler);
/// ```
///
/// A type of one's own writes an `async fn`:
///
/// ```
/// use fanout::{BoxError, Delivery, Handler};
///
/// struct Print;
///
/// impl Handler for Print {
///     async fn handle(&self, delivery: &Delivery) -> Result<(), BoxError> {
///         println!("{:?}", delivery.message.payload);
///         Ok(())
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Handles one delivery. `Ok` settles it; an error, or a panic, is a failed attempt.
    ///
    /// The same message may come again: after a failure, and when a lease was lost or a settlement
    /// could not be made durable.
    fn handle(&self, delivery: &Delivery) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Told what became of each settlement, in the order of settling. Must not block. Does nothing
    /// by default.
    fn settled(&self, settlement: &Settlement, outcome: Outcome) {
        let _ = (settlement, outcome);
    }
}

/// A function from a delivery to a future that can be sent between threads.
///
/// Names the future, so that it can be bounded; implemented for every fitting function, and nobody
/// needs to implement it.
pub trait HandlerFn<'d>: Fn(&'d Delivery) -> <Self as HandlerFn<'d>>::Future {
    /// What the function returns.
    type Future: Future<Output = Result<(), BoxError>> + Send;
}

impl<'d, F, Fut> HandlerFn<'d> for F
where
    F: Fn(&'d Delivery) -> Fut,
    Fut: Future<Output = Result<(), BoxError>> + Send,
{
    type Future = Fut;
}

impl<F> Handler for F
where
    F: for<'d> HandlerFn<'d> + Send + Sync + 'static,
{
    fn handle(&self, delivery: &Delivery) -> impl Future<Output = Result<(), BoxError>> + Send {
        self(delivery)
    }
}
