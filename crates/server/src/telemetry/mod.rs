//! What operators see: logs, metrics, traces, health.

mod damaged;
pub mod health;
pub mod log;
pub mod metrics;
pub mod observer;
pub mod ops;
pub mod process;
pub mod route;
pub mod trace;

pub use health::{Health, ReadyCheck};
pub use metrics::Metrics;
pub use observer::Telemetry;
