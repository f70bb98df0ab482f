//! Every order in which sessions can take their steps.

/// Yields each interleaving of scripts of these lengths once: which session takes the next step.
#[derive(Clone, Debug)]
pub(crate) struct Interleavings(Option<Vec<usize>>);

impl Interleavings {
    pub(crate) fn of(lengths: &[usize]) -> Self {
        let first = lengths.iter().enumerate();
        Self(Some(
            first
                .flat_map(|(session, steps)| std::iter::repeat_n(session, *steps))
                .collect(),
        ))
    }
}

impl Iterator for Interleavings {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        let present = self.0.take()?;
        self.0 = successor(&present);
        Some(present)
    }
}

/// The next arrangement in lexical order.
fn successor(present: &[usize]) -> Option<Vec<usize>> {
    let mut next = present.to_vec();
    let pivot = next.windows(2).rposition(|pair| pair[0] < pair[1])?;
    let larger = next.iter().rposition(|other| *other > next[pivot])?;
    next.swap(pivot, larger);
    next[pivot + 1..].reverse();
    Some(next)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Interleavings;

    #[test]
    fn every_interleaving_comes_once() {
        for (lengths, count) in [
            (vec![4, 4], 70),
            (vec![3, 3, 3], 1680),
            (vec![4, 4, 4], 34_650),
            (vec![2, 0, 1], 3),
            (vec![], 1),
        ] {
            let all: BTreeSet<Vec<usize>> = Interleavings::of(&lengths).collect();
            assert_eq!(all.len(), count, "{lengths:?}");
            assert_eq!(Interleavings::of(&lengths).count(), count, "{lengths:?}");
            for order in all {
                for (session, steps) in lengths.iter().enumerate() {
                    assert_eq!(order.iter().filter(|of| *of == &session).count(), *steps);
                }
            }
        }
    }
}
