//! Tasks that begin together.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Runs `n` tasks that meet at a barrier first; their results in the tasks' order.
pub(crate) async fn together<T, F>(n: usize, mut task: impl FnMut(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let barrier = Arc::new(Barrier::new(n));
    let tasks = (0..n).map(|i| {
        let (barrier, work) = (barrier.clone(), task(i));
        tokio::spawn(async move {
            barrier.wait().await;
            work.await
        })
    });
    join_all(tasks.collect()).await
}

/// The results of tasks; a panic in one of them goes on here.
pub(crate) async fn join_all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        match task.await {
            Ok(result) => results.push(result),
            Err(error) => resume_unwind(error.into_panic()),
        }
    }
    results
}

/// Begins work that may have to wait for what the case does next, and lets it come to its end or to
/// the point where it waits.
///
/// Nothing tells from outside that a call waits inside a database, so this gives it a moment. A case
/// must accept both: that the work met what it was to meet, and that it was slow.
pub(crate) async fn begin_waiting<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    const MOMENT: Duration = Duration::from_millis(100);
    let mut task = tokio::spawn(work);
    match timeout(MOMENT, &mut task).await {
        Ok(Ok(output)) => tokio::spawn(std::future::ready(output)),
        Ok(Err(error)) => resume_unwind(error.into_panic()),
        Err(_) => task,
    }
}
