//! What the end-to-end suites stand on: real servers, real clients, raw HTTP.
//!
//! Nothing here links Bonded: the suites start the built binary and speak to it over its socket, so they can be
//! pointed at any other registry as well. Every process started is ended by its own id when its guard drops; every
//! wait is for a condition and has a limit.

pub mod bonded;
pub mod cluster;
pub mod environment;
pub mod http;
pub mod image;
pub mod peer;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod registry;
pub mod s3;
pub mod tools;
pub mod toxiproxy;
pub mod wait;

pub use registry::Target;
