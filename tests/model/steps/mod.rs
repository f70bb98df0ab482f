//! The steps, by who takes them. Each returns the world after it, or none when it cannot be taken.

mod catching_up;
mod committing;
mod deciding;
mod folding;
mod handling;
mod holding;
mod merging;
mod publishing;
mod reading;
mod settling;
mod ticking;
mod tracking;
mod transacting;
