//! What operators see: logs, metrics, health.

pub mod health;
pub mod log;
pub mod metrics;
pub mod observer;
pub mod ops;
pub mod process;
pub mod route;

pub use health::{Health, ReadyCheck};
pub use metrics::Metrics;
pub use observer::Telemetry;
