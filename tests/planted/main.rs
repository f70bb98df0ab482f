//! Known mistakes in the engine, each of which is caught, and by what.
//!
//! They are compiled in with `--cfg fanout_planted` alone, and so is all of this; see `just planted`.

#![cfg(fanout_planted)]

mod place;
mod scripted;
mod scripts;
