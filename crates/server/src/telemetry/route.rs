//! The class of a path: the only thing about it that may become a metric's label.
//!
//! Why: a label with names in it is a memory leak that anybody can feed. The set is closed, whatever is asked for.

use prometheus_client::encoding::EncodeLabelValue;

/// The classes of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the labels' values")]
pub enum Route {
    /// `/v2/`.
    base,
    /// `/v2/_catalog`.
    catalog,
    /// Manifests.
    manifest,
    /// Blobs.
    blob,
    /// Blob uploads.
    upload,
    /// Tag lists.
    tags,
    /// Referrers.
    referrers,
    /// The token service.
    token,
    /// The native API.
    api,
    /// The Harbor API.
    harbor,
    /// The scanner-adapter API.
    scanner,
    /// The admission webhooks.
    admission,
    /// Health and metrics.
    ops,
    /// Everything else: the web interface, and what does not exist.
    ui,
}

impl Route {
    /// The class of a path.
    pub fn of(path: &str) -> Self {
        if let Some(rest) = path.strip_prefix("/v2/") {
            return Self::of_registry(rest);
        }
        match path {
            "/v2" => Self::base,
            "/service/token" => Self::token,
            "/healthz" | "/readyz" | "/metrics" => Self::ops,
            _ if path.starts_with("/api/v2.0") => Self::harbor,
            _ if path.starts_with("/api/") => Self::api,
            _ if path.starts_with("/scanner/") => Self::scanner,
            _ if path.starts_with("/admission/") => Self::admission,
            _ => Self::ui,
        }
    }

    fn of_registry(rest: &str) -> Self {
        // The last reserved word decides: repositories may be called "blobs".
        let mut words = rest.rsplit('/');
        let (last, before) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (before, last) {
            ("", "") => Self::base,
            ("", "_catalog") => Self::catalog,
            ("manifests", _) => Self::manifest,
            ("referrers", _) => Self::referrers,
            ("tags", "list") => Self::tags,
            ("blobs", "uploads") | ("uploads", _) => Self::upload,
            ("blobs", _) => Self::blob,
            _ => Self::ui,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fall_into_a_closed_set_of_classes() {
        for (path, route) in [
            ("/v2/", Route::base),
            ("/v2", Route::base),
            ("/v2/_catalog", Route::catalog),
            ("/v2/a/b/manifests/latest", Route::manifest),
            ("/v2/a/blobs/sha256:00", Route::blob),
            ("/v2/a/blobs/uploads/", Route::upload),
            ("/v2/a/blobs/uploads", Route::upload),
            ("/v2/a/blobs/uploads/0123", Route::upload),
            ("/v2/blobs/tags/list", Route::tags),
            ("/v2/a/referrers/sha256:00", Route::referrers),
            ("/service/token", Route::token),
            ("/api/v1/projects", Route::api),
            ("/api/v2.0/projects", Route::harbor),
            ("/scanner/api/v1/scan", Route::scanner),
            ("/healthz", Route::ops),
            ("/", Route::ui),
            ("/v2/x", Route::ui),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
