//! The few environment variables the suites listen to, read here and nowhere else.
//!
//! | variable | meaning |
//! |---|---|
//! | `BONDED_TEST_ALL` | set by `./test --all`: clients, daemons and faults that need root are run, not skipped |
//! | `BONDED_BIN` | the server to test instead of the workspace's own build |
//! | `BONDED_SHARED` | where shared test data lies instead of beside the clone |
//! | `BONDED_E2E_TARGET` | `host:port[,user,password]`: run the protocol table against that registry |
//! | `BONDED_REBUILD_MANIFESTS` | manifests of the measured rebuild |
//! | `BONDED_FAULT_CYCLES` | cycles of every kill test, `BONDED_FAULT_ACKS` acknowledgements of the power cut |

use std::path::{Path, PathBuf};

/// The variable's value, `None` if unset, empty or not UTF-8.
#[expect(
    clippy::disallowed_methods,
    reason = "the suites' own switches; the server's configuration is not read here"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether everything is wanted, that which needs root and installed programs included.
pub fn wants_all() -> bool {
    variable("BONDED_TEST_ALL").is_some()
}

/// A count from the environment, or `default`.
pub fn count(name: &str, default: usize) -> usize {
    variable(name).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The workspace's root, known since the build.
pub fn workspace_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Whether this process may do what only root may (mounts, own dockerd).
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
