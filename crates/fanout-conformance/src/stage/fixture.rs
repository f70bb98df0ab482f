//! The engine with its own type, for cases that open transactions.

use std::any::Any;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    CompletionMode, Delivery, ErrorKind, MessageId, NewMessage, OpenTx, Result, Transactional,
};

use super::{Scene, TestTopic, full_size, messages, receipts, refused};
use crate::{Harness, Subject};

/// An open transaction of the harness's engine.
pub(crate) type Tx<H> = Box<dyn OpenTx<Tx = <<H as Harness>::Backend as Transactional>::Tx>>;

/// One case's engine.
pub(crate) struct Fixture<H: Harness> {
    scene: Scene,
    pub(crate) backend: Arc<H::Backend>,
    pub(crate) harness: H,
    // Last, so that it goes after the engine.
    _guard: Box<dyn Any + Send + Sync>,
}

impl<H: Harness> Fixture<H> {
    pub(crate) async fn new(harness: H, mode: CompletionMode) -> Self {
        let Subject {
            backend,
            clock,
            guard,
        } = harness.subject().await;
        Self {
            scene: Scene {
                backend: backend.clone(),
                clock,
                mode,
            },
            backend,
            harness,
            _guard: guard,
        }
    }

    pub(crate) fn scene(&self) -> &Scene {
        &self.scene
    }

    pub(crate) async fn begin(&self) -> Tx<H> {
        self.backend
            .begin()
            .await
            .expect("a transaction can be begun")
    }

    pub(crate) async fn publish_in(
        &self,
        tx: &mut Tx<H>,
        topic: &TestTopic,
        n: usize,
    ) -> Vec<MessageId> {
        self.publish_all_in(tx, topic, messages(n)).await
    }

    pub(crate) async fn publish_all_in(
        &self,
        tx: &mut Tx<H>,
        topic: &TestTopic,
        messages: Vec<NewMessage>,
    ) -> Vec<MessageId> {
        self.backend
            .publish_in(tx.tx(), topic.name(), messages)
            .await
            .expect("a good batch is published in a transaction")
    }

    pub(crate) async fn settle_in(&self, tx: &mut Tx<H>, deliveries: &[Delivery]) -> Result<()> {
        self.backend.settle_in(tx.tx(), &receipts(deliveries)).await
    }

    /// A transaction of its own may not settle these, for one of these reasons.
    pub(crate) async fn no_transaction_settles(
        &self,
        deliveries: &[Delivery],
        kinds: &[ErrorKind],
        promise: &str,
    ) {
        let mut tx = self.begin().await;
        let settled = self.settle_in(&mut tx, deliveries).await;
        refused(settled, kinds, promise);
        tx.rollback().await.expect("it can be undone");
    }
}

impl<H: Harness> Deref for Fixture<H> {
    type Target = Scene;
    fn deref(&self) -> &Scene {
        &self.scene
    }
}

/// Runs a case; one that hangs fails.
pub(crate) async fn guarded(name: &str, case: impl Future<Output = ()>) {
    let limit = Duration::from_secs(if full_size() { 900 } else { 120 });
    if tokio::time::timeout(limit, case).await.is_err() {
        panic!("`{name}` hangs: some call of it waits for something that never comes");
    }
}
