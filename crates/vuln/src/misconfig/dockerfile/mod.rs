//! Dockerfiles: parsed as BuildKit does, checked by rules.

mod checks;
mod packages;
mod parse;
mod secrets;

pub use checks::{check, check_parsed};
pub use parse::{Dockerfile, Instruction, Stage, parse};
