#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod admin;
mod claim;
mod cluster;
mod database;
mod error;
mod hash;
mod locate;
mod names;
mod postmaster;
mod process;
mod profile;
mod run;
mod template;
mod url;
mod user;
mod wait;
mod watchdog;
mod wheel;

pub use cluster::{Cluster, ClusterBuilder};
pub use database::TestDatabase;
pub use error::{Error, Result};
pub use profile::Profile;
pub use template::Template;
