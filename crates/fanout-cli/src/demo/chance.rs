//! Chance that can be repeated: a function of a seed and of what is asked.

/// A well-mixed number (the finaliser of splitmix64 over each part).
pub(super) fn draw(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// True in `per_mille` of 1,000 cases.
pub(super) fn happens(per_mille: u64, parts: &[u64]) -> bool {
    draw(parts) % 1_000 < per_mille
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn happens_about_as_often_as_asked_and_always_alike() {
        let count = (0..100_000).filter(|n| happens(80, &[7, *n])).count();
        assert!((7_000..9_000).contains(&count), "{count}");
        assert_eq!(draw(&[1, 2]), draw(&[1, 2]));
        assert_ne!(draw(&[1, 2]), draw(&[2, 1]));
    }
}
