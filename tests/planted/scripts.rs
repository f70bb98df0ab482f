//! Histories for mistakes that need two connections at one moment, or two processes. Each tells what
//! promise it saw broken.

use fanout_core::{
    Backend, CompletionMode, MemberExt, MessageId, NewMessage, Outcome, Settlement, Transactional,
    TransactionalExt, Verdict,
};

use crate::place::{BEYOND_LEASES, Place, pid, until_blocked};

/// What a script saw.
pub(crate) type Seen = Result<(), String>;

fn check(holds: bool, broken: &str) -> Seen {
    if holds {
        Ok(())
    } else {
        Err(broken.to_owned())
    }
}

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A ticker waits for another, which takes a later snapshot.
pub(crate) async fn two_tickers() -> Seen {
    let place = Place::open(CompletionMode::OffsetWatermark).await;
    let (topic, id) = (&place.topic.name, place.topic.id.0);
    let (mut first, second, watcher) = (
        place.client().await,
        place.client().await,
        place.client().await,
    );
    let second_pid = pid(&second).await;
    let ahead = first.transaction().await.map_err(failed)?;
    let lock = "SELECT pg_advisory_xact_lock(fanout.tick_lock_class(), $1)";
    ahead.query(lock, &[&id]).await.map_err(failed)?;
    let tick = format!("SELECT FROM fanout.tick_{id}(true, '0')");
    let behind = tokio::spawn(async move { second.batch_execute(&tick).await });
    until_blocked(&watcher, second_pid).await;
    let published = place
        .backend
        .publish(topic, vec![NewMessage::new("one")])
        .await;
    published.map_err(failed)?;
    let tick = format!("SELECT FROM fanout.tick_{id}(true, '0')");
    ahead.batch_execute(&tick).await.map_err(failed)?;
    ahead.commit().await.map_err(failed)?;
    behind.await.map_err(failed)?.map_err(failed)?;
    let back = "SELECT count(*) FROM (
            SELECT pg_snapshot_xmax(k.snapshot) < pg_snapshot_xmax(lag(k.snapshot) OVER (ORDER BY k.tick)) AS b
            FROM fanout.outbox_ticks k WHERE k.topic_id = $1 AND k.tick > 0) k WHERE k.b";
    let back: i64 = watcher
        .query_one(back, &[&id])
        .await
        .map_err(failed)?
        .get(0);
    check(back == 0, "promise 6: a tick sees less than the one before")
}

/// A publisher draws an id while the decided id is on its way.
pub(crate) async fn deciding_beside_a_publisher() -> Seen {
    let place = Place::open(CompletionMode::OffsetWatermark).await;
    let id = place.topic.id.0;
    let (mut holder, decider, mut publisher, watcher) = (
        place.client().await,
        place.client().await,
        place.client().await,
        place.client().await,
    );
    let decider_pid = pid(&decider).await;
    let hold = holder.transaction().await.map_err(failed)?;
    // The sequence is read by way of the topic's row.
    let lock = "LOCK TABLE fanout.outbox_topics IN ACCESS EXCLUSIVE MODE";
    hold.batch_execute(lock).await.map_err(failed)?;
    let decide = tokio::spawn(async move {
        let row = decider
            .query_one("SELECT fanout.decide($1)", &[&id])
            .await?;
        Ok::<i64, tokio_postgres::Error>(row.get(0))
    });
    until_blocked(&watcher, decider_pid).await;
    let open = publisher.transaction().await.map_err(failed)?;
    let lock = "SELECT pg_advisory_xact_lock_shared(fanout.publish_lock_class(), $1)";
    open.query(lock, &[&id]).await.map_err(failed)?;
    let draw = format!("SELECT nextval('fanout.outbox_ids_{id}')");
    let drawn: i64 = open.query_one(&draw, &[]).await.map_err(failed)?.get(0);
    hold.rollback().await.map_err(failed)?;
    let decided = decide.await.map_err(failed)?.map_err(failed)?;
    check(
        decided < drawn,
        "promise 14: an id is decided whose publisher is open",
    )
}

/// A member's lane goes to another process; the member settles afterwards.
pub(crate) async fn settling_after_a_takeover() -> Seen {
    let place = Place::open(CompletionMode::OffsetWatermark).await;
    let other = place.process().await;
    let topic = &place.topic.name;
    let group = place.subscribe().await.map_err(failed)?;
    let silent = place.join(&place.backend, &group).await.map_err(failed)?;
    let heir = place.join(&other, &group).await.map_err(failed)?;
    let messages = vec![NewMessage::new("one"), NewMessage::new("two")];
    place
        .backend
        .publish(topic, messages)
        .await
        .map_err(failed)?;
    let held = silent.fetch(1).await.map_err(failed)?.deliveries;
    place.clock.advance(BEYOND_LEASES);
    let taken = heir.fetch(2).await.map_err(failed)?.deliveries;
    check(
        held.len() == 1 && taken.len() == 2,
        "promise 15: the lane was not taken over",
    )?;
    heir.done_all(&taken).await.map_err(failed)?;
    let late = Settlement {
        receipt: held[0].receipt,
        verdict: Verdict::Done,
    };
    let outcomes = silent.settle(&[late]).await.map_err(failed)?;
    check(
        outcomes == [Outcome::Fenced],
        "promise 9: a commit with a stale epoch was accepted",
    )?;
    let pending = place.pending().await.map_err(failed)?;
    check(pending == 0, "promise 4: what was settled is owed again")
}

/// The same, and the member settles in a transaction.
pub(crate) async fn settling_in_a_transaction_after_a_takeover() -> Seen {
    let place = Place::open(CompletionMode::OffsetWatermark).await;
    let other = place.process().await;
    let group = place.subscribe().await.map_err(failed)?;
    let silent = place.join(&place.backend, &group).await.map_err(failed)?;
    let heir = place.join(&other, &group).await.map_err(failed)?;
    let messages = vec![NewMessage::new("one")];
    let published = place.backend.publish(&place.topic.name, messages).await;
    published.map_err(failed)?;
    let held = silent.fetch(1).await.map_err(failed)?.deliveries;
    place.clock.advance(BEYOND_LEASES);
    let taken = heir.fetch(1).await.map_err(failed)?.deliveries;
    check(
        held.len() == 1 && taken.len() == 1,
        "promise 15: the lane was not taken over",
    )?;
    let (backend, late) = (&place.backend, [held[0].receipt]);
    let settled = backend.with_tx(async |tx| backend.settle_in(tx, &late).await);
    check(
        settled.await.is_err(),
        "promise 4: a transaction settled what another has in hand",
    )
}

/// A transaction settles a message whose lane goes to another process before it commits; that one settles it,
/// too.
pub(crate) async fn settling_beside_a_transaction() -> Seen {
    let place = Place::open(CompletionMode::OffsetWatermark).await;
    let other = place.process().await;
    let group = place.subscribe().await.map_err(failed)?;
    let slow = place.join(&place.backend, &group).await.map_err(failed)?;
    let heir = place.join(&other, &group).await.map_err(failed)?;
    let messages = vec![NewMessage::new("one")];
    let published = place.backend.publish(&place.topic.name, messages).await;
    published.map_err(failed)?;
    let held = slow.fetch(1).await.map_err(failed)?.deliveries;
    let mut open = place.backend.begin().await.map_err(failed)?;
    let settled = place.backend.settle_in(open.tx(), &[held[0].receipt]).await;
    settled.map_err(failed)?;
    place.clock.advance(BEYOND_LEASES);
    let taken = heir.fetch(1).await.map_err(failed)?.deliveries;
    check(taken.len() == 1, "promise 15: the lane was not taken over")?;
    open.commit().await.map_err(failed)?;
    let again = Settlement {
        receipt: taken[0].receipt,
        verdict: Verdict::Done,
    };
    let outcomes = heir.settle(&[again]).await.map_err(failed)?;
    check(
        outcomes != [Outcome::Applied],
        "promise 4: a message was settled twice",
    )
}

/// A publisher's snapshot is older than a subscription.
pub(crate) async fn publishing_under_an_old_snapshot() -> Seen {
    let place = Place::open(CompletionMode::ReferenceCounting).await;
    let topic = &place.topic.name;
    let client = place.client().await;
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM fanout.outbox_topics")
        .await
        .map_err(failed)?;
    let group = place.subscribe().await.map_err(failed)?;
    let publish = "SELECT fanout.publish($1, ARRAY['one'::bytea])";
    client
        .query(publish, &[&topic.as_str()])
        .await
        .map_err(failed)?;
    client.batch_execute("COMMIT").await.map_err(failed)?;
    let member = place.join(&place.backend, &group).await.map_err(failed)?;
    let got = member.fetch(9).await.map_err(failed)?.deliveries;
    check(
        got.len() == 1,
        "promise 3: what committed after the subscription is not delivered",
    )
}

/// Settlements of a caller's transaction are folded once each. To fold one again changes nothing, so the figures
/// alone tell.
pub(crate) async fn folding() -> Seen {
    const MESSAGES: usize = 20;
    let place = Place::open(CompletionMode::ReferenceCounting).await;
    let topic = &place.topic.name;
    let group = place.subscribe().await.map_err(failed)?;
    let messages = vec![NewMessage::new("one"); MESSAGES];
    place
        .backend
        .publish(topic, messages)
        .await
        .map_err(failed)?;
    let member = place.join(&place.backend, &group).await.map_err(failed)?;
    let held = member.fetch(MESSAGES).await.map_err(failed)?.deliveries;
    let receipts: Vec<_> = held.iter().map(|held| held.receipt).collect();
    let backend = &place.backend;
    let settled = backend.with_tx(async |tx| backend.settle_in(tx, &receipts).await);
    settled.await.map_err(failed)?;
    let report = backend.maintain().await.map_err(failed)?;
    let folded = report.settlements_folded;
    check(
        folded == MESSAGES as u64,
        "figures: settlements were counted more than once",
    )?;
    let accounting = place.backend.accounting(topic, MessageId(0), MESSAGES);
    let accounting = accounting.await.map_err(failed)?;
    let settled = accounting.iter().filter(|one| one.completed_at.is_some());
    check(
        settled.count() == MESSAGES,
        "promise 4: a settlement of a transaction was lost",
    )
}
