//! What operators see: logs, metrics, traces, health.

pub mod health;
mod jobs;
pub mod log;
pub mod metrics;
pub mod observer;
pub mod ops;
pub mod process;
pub mod route;
mod single;
mod storage;
pub mod trace;

pub use health::{Health, ReadyCheck};
pub use metrics::Metrics;
pub use observer::Telemetry;
