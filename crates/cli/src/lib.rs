//! Client and serverless subcommands of `bonded`.
//!
//! What the subcommands decide lives in the pure crates; here are files, terminals and exit codes.

mod advisories;
mod age;
mod clock;
mod command;
mod input;
mod network;
mod output;
mod sbom;
mod scan;
mod search;
pub mod source;

pub use command::{Command, run};
