//! Figures for whoever reads the output.

/// Prints what a test counted.
#[allow(
    clippy::print_stdout,
    reason = "the figures are part of what the test is for"
)]
pub(crate) fn report(figures: &str) {
    println!("{figures}");
}
