//! Named histories, in every order of delivery, in every mode, on both engines.

use fanout_tests::acceptor::{Checked, Ending};
use fanout_tests::history::History;
use fanout_tests::modes::Modes;
use fanout_tests::op::Op;
use fanout_tests::reader::Order;
use fanout_tests::subject::on_memory_in_all_modes;

use crate::in_modes::InModes;
use crate::named::{Named, named};

/// Each history in each order of delivery.
fn in_every_order() -> impl Iterator<Item = (Order, Named)> {
    Order::ALL.into_iter().flat_map(|order| {
        named().into_iter().map(move |(name, history)| {
            let orders = [order; 3];
            (order, (name, History { orders, ..history }))
        })
    })
}

/// Where no mode changes, mixed modes are but the first of them.
fn worth_running(history: &History) -> &'static [Modes] {
    let changes = |op: &Op| matches!(op, Op::Migrate { .. });
    if history.ops.iter().any(changes) {
        &Modes::ALL
    } else {
        &Modes::ONLY
    }
}

fn must_all_pass(run: impl Fn(&History) -> Checked<Ending>) {
    let failure = |(order, (name, history)): (Order, Named)| {
        let violation = run(&history).err()?;
        Some(format!("{name}, {order:?}: {violation}\n{history:?}"))
    };
    let wrong: Vec<_> = in_every_order().filter_map(failure).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn e1_named_histories_end_alike_in_every_mode() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    must_all_pass(|history| {
        let (ending, _) = runtime.block_on(on_memory_in_all_modes(history))?;
        Ok(ending)
    });
}

#[test]
fn e1_named_histories_end_alike_on_postgres() {
    let postgres = InModes::start(&Modes::ALL);
    must_all_pass(|history| {
        let (ending, _) = postgres.run(history, worth_running(history))?;
        Ok(ending)
    });
}
