//! Decisions as pure functions: facts in; effect and reasons out. Nothing here reads a store, a clock or a socket;
//! the caller gathers the facts and carries the reason to the person.

pub mod access;
pub mod condition;
pub mod pattern;
pub mod role;

pub use access::{AccessFacts, Decision, Effect, GrantFact, Visibility, decide, tag_rule};
pub use condition::{Conditions, Network, TagPattern, TagRule};
pub use pattern::RepositoryPattern;
pub use role::{Permission, Permissions, Role};
