//! Every planted bug is found within the everyday number of histories, and shrinks.

use fanout_core::CompletionMode;

use crate::planted::{Flaw, FlawedBackend};
use fanout_tests::campaign::{Campaign, Failure};
use fanout_tests::coverage::Seen;
use fanout_tests::modes::Modes;
use fanout_tests::subject::on_memory;

fn hunt(flaw: Flaw, modes: Modes, histories: u32, max_shrinks: u32) -> Option<Box<Failure>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    let campaign = Campaign {
        max_shrinks,
        ..Campaign::hunt(histories, 60)
    };
    let found = campaign.run(|history| {
        let flawed = on_memory(history, modes, |memory| FlawedBackend::new(memory, flaw));
        match runtime.block_on(flawed) {
            Ok((_, seen)) => Ok(seen),
            Err(violation) if violation.to_string().contains(flaw.symptom()) => Err(violation),
            // Rightly rejected, for another reason than the one that is looked for.
            Err(_) => Ok(Seen::new()),
        }
    });
    found.err()
}

#[test]
fn e1_every_planted_bug_is_rejected() {
    for modes in Modes::ALL {
        for flaw in Flaw::ALL.into_iter().filter(|flaw| flaw.shows_in(modes)) {
            let Some(failure) = hunt(flaw, modes, 1_000, 0) else {
                panic!("{flaw:?} in {modes} was accepted");
            };
            let reason = failure.reason.lines().next().unwrap_or_default();
            println!("{flaw:?} in {modes}: {reason}");
        }
    }
}

#[test]
fn e1_the_wrapper_of_planted_bugs_is_sound_without_one() {
    for modes in Modes::ALL {
        for flaw in [Flaw::None, Flaw::Different] {
            if let Some(failure) = hunt(flaw, modes, 300, 0) {
                panic!(
                    "{flaw:?} in {modes}: {}\n{:?}",
                    failure.reason, failure.history
                );
            }
        }
    }
}

#[test]
fn e1_a_failing_history_shrinks_to_a_few_ops_and_names_its_seed() {
    let modes = Modes::Only(CompletionMode::OffsetWatermark);
    let failure = hunt(Flaw::ForgetsRollbacks, modes, 1_000, 20_000).expect("the bug is found");
    println!("{}\n{:?}", failure.reason, failure.history);
    assert!(
        failure.history.ops.len() <= 6,
        "{} ops are left: {:?}",
        failure.history.ops.len(),
        failure.history
    );
}
