//! Named histories, in every order of delivery, in both modes, on both engines.

use fanout_core::CompletionMode;

use crate::named::{Named, named};
use crate::postgres::Postgres;
use fanout_tests::acceptor::{Checked, Ending};
use fanout_tests::history::History;
use fanout_tests::reader::Order;
use fanout_tests::subject::on_memory;
use fanout_tests::terms::Terms;

/// Each history in each order of delivery.
fn in_every_order() -> impl Iterator<Item = (Order, Named)> {
    Order::ALL.into_iter().flat_map(|order| {
        named().into_iter().map(move |(name, history)| {
            let orders = [order; 3];
            (order, (name, History { orders, ..history }))
        })
    })
}

async fn ending_on_memory(history: &History, mode: CompletionMode) -> Checked<Ending> {
    let (ending, _) = on_memory(history, mode, |memory| memory)
        .await
        .map_err(|violation| violation.during(format_args!("memory, {mode}")))?;
    Ok(ending)
}

async fn ending_on_postgres(
    postgres: &Postgres,
    history: &History,
    mode: CompletionMode,
) -> Checked<Ending> {
    let (ending, _) = postgres
        .run(history, mode)
        .await
        .map_err(|violation| violation.during(format_args!("postgres, {mode}")))?;
    Ok(ending)
}

/// Tells which histories went wrong.
fn must_be_right(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn e1_named_histories_end_alike_in_both_modes() {
    let mut wrong = Vec::new();
    for (order, (name, history)) in in_every_order() {
        let mut endings = Vec::new();
        for mode in Terms::MODES {
            match ending_on_memory(&history, mode).await {
                Ok(ending) => endings.push(ending),
                Err(violation) => {
                    wrong.push(format!("{name}, {order:?}: {violation}\n{history:?}"));
                }
            }
        }
        if endings.windows(2).any(|pair| pair[0] != pair[1]) {
            wrong.push(format!("{name}, {order:?}: {endings:#?}\n{history:?}"));
        }
    }
    must_be_right(&wrong);
}

async fn must_end_alike_on_postgres(mode: CompletionMode) {
    let postgres = Postgres::start().await;
    let mut wrong = Vec::new();
    for (order, (name, history)) in in_every_order() {
        let expected = ending_on_memory(&history, mode).await;
        let got = ending_on_postgres(&postgres, &history, mode).await;
        if got.is_err() || got != expected {
            wrong.push(format!(
                "{name}, {order:?}: must end as {expected:#?}, got {got:#?}\n{history:?}"
            ));
        }
    }
    must_be_right(&wrong);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn e1_named_histories_end_alike_on_postgres_in_reference_counting() {
    must_end_alike_on_postgres(CompletionMode::ReferenceCounting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn e1_named_histories_end_alike_on_postgres_in_offset_watermark() {
    must_end_alike_on_postgres(CompletionMode::OffsetWatermark).await;
}
