//! Every planted bug is found within the everyday number of histories, and shrinks.

use crate::campaign::{Campaign, Failure};
use crate::planted::{Flaw, FlawedBackend};
use crate::subject::on_memory;

fn hunt(flaw: Flaw, histories: u32, max_shrinks: u32) -> Option<Box<Failure>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    let campaign = Campaign {
        histories,
        max_ops: 60,
        regressions: None,
        max_shrinks,
    };
    let found = campaign.run(|history| {
        let flawed = on_memory(history, |memory| FlawedBackend::new(memory, flaw));
        let (_, seen) = runtime.block_on(flawed)?;
        Ok(seen)
    });
    found.err()
}

#[test]
fn e1_every_planted_bug_is_rejected() {
    for flaw in Flaw::ALL {
        let Some(failure) = hunt(flaw, 1_000, 0) else {
            panic!("{flaw:?} was accepted");
        };
        println!(
            "{flaw:?}: {}",
            failure.reason.lines().next().unwrap_or_default()
        );
    }
}

#[test]
fn e1_the_wrapper_of_planted_bugs_is_sound_without_one() {
    if let Some(failure) = hunt(Flaw::None, 200, 0) {
        panic!("{}\n{:?}", failure.reason, failure.history);
    }
}

#[test]
fn e1_a_failing_history_shrinks_to_a_few_ops_and_names_its_seed() {
    let failure = hunt(Flaw::ForgetsRollbacks, 1_000, 20_000).expect("the bug is found");
    println!("{}\n{:?}", failure.reason, failure.history);
    assert!(
        failure.history.ops.len() <= 6,
        "{} ops are left: {:?}",
        failure.history.ops.len(),
        failure.history
    );
}
