//! `Snapshot`: two texts, and what the snapshots see.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use fanout_core::Snapshot;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Text(&'a str),
    Two(Parts, Parts),
}

#[derive(Arbitrary, Debug)]
struct Parts {
    xmin: u8,
    xmax: u8,
    open: BTreeSet<u8>,
}

impl Parts {
    fn is_sound(&self) -> bool {
        0 < self.xmin
            && self.xmin <= self.xmax
            && self
                .open
                .iter()
                .all(|open| (self.xmin..self.xmax).contains(open))
    }

    fn text(&self) -> String {
        let open: Vec<_> = self.open.iter().map(u8::to_string).collect();
        format!("{}:{}:{}", self.xmin, self.xmax, open.join(","))
    }

    fn seen(&self) -> BTreeSet<u64> {
        (0..self.xmax)
            .filter(|x| !self.open.contains(x))
            .map(u64::from)
            .collect()
    }
}

fn seen(snapshot: &Snapshot) -> BTreeSet<u64> {
    (0..300).filter(|x| snapshot.sees(*x)).collect()
}

fn round_trip(snapshot: &Snapshot) {
    assert_eq!(snapshot.to_string().parse().as_ref(), Ok(snapshot));
    assert!(snapshot.includes(snapshot));
    assert!(!snapshot.sees(snapshot.xmax()));
    assert!(
        snapshot
            .in_progress()
            .iter()
            .all(|open| !snapshot.sees(*open))
    );
}

/// # Panics
/// When they see something else.
pub fn snapshot(bytes: &[u8]) {
    let Some(input) = super::read::<Input<'_>>(bytes) else {
        return;
    };
    match input {
        Input::Text(text) => {
            if let Ok(snapshot) = text.parse::<Snapshot>() {
                round_trip(&snapshot);
            }
        }
        Input::Two(a, b) => {
            let (one, two) = (a.text().parse::<Snapshot>(), b.text().parse::<Snapshot>());
            assert_eq!((one.is_ok(), two.is_ok()), (a.is_sound(), b.is_sound()));
            let (Ok(one), Ok(two)) = (one, two) else {
                return;
            };
            round_trip(&one);
            assert_eq!((seen(&one), seen(&two)), (a.seen(), b.seen()));
            let span: BTreeSet<u64> = (0..300).filter(|x| two.sees_since(&one, *x)).collect();
            assert_eq!(span, &b.seen() - &a.seen());
            // It may say no where all up to xmax are open, but never yes where it is no.
            assert!(!two.includes(&one) || b.seen().is_superset(&a.seen()));
        }
    }
}
