//! Decisions as pure functions: facts in; effect and reasons out. Nothing here reads a store, a clock or a socket;
//! the caller gathers the facts and carries the reason to the person.

pub mod access;
pub mod pattern;
pub mod role;

pub use access::{AccessFacts, Effect, GrantFact, Visibility, permissions};
pub use pattern::RepositoryPattern;
pub use role::{Permission, Permissions, Role};
