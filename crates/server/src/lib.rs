//! The edge: HTTP surfaces, configuration, telemetry, and the composition of all parts into one process.
//!
//! Nothing here decides: handlers parse, ask a use case, render. What is here is what a process needs to face a
//! network – bounded connections, deadlines, TLS, metrics, orderly start and end.

pub mod acme;
pub mod api;
pub mod app;
pub mod body;
pub mod caller;
pub mod command;
pub mod config;
#[cfg(test)]
mod error_table;
pub mod front;
pub mod http;
pub mod outbound;
pub mod routes;
pub mod telemetry;
pub mod token;
pub mod v2;
