//! HTTP as a server on a hostile network: an own accept loop around hyper.
//!
//! Why an own loop: what a registry must refuse or bound lies below the request – connections that never send a
//! header, bodies that stall, heads that two parsers read differently, a shutdown that must not cut a running
//! transfer. Per connection: [`transport`] moves the bytes and watches the framing ([`framing`]), [`meter`] knows who
//! waits for whom, [`connection`] ends what breaks a rule, [`service`] gives each request its identity, isolates
//! panics and reports how it ended, [`sendfile`] lets the kernel send files. [`server`] accepts and drains.

pub mod connection;
pub mod context;
pub mod framing;
pub mod limits;
pub mod meter;
pub mod origin;
pub mod request_id;
pub mod sendfile;
pub mod server;
pub mod service;
pub mod tls;
pub mod transport;

pub use context::{ConnectionInfo, RequestContext, TlsInfo};
pub use limits::Limits;
pub use origin::{Origin, TrustedProxies};
pub use request_id::RequestId;
pub use server::{Listener, Server, Shutdown};
pub use service::{Observer, Outcome};
