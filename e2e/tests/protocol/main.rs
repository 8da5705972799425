//! The distribution protocol over a real socket: the ground of the official conformance suite, and what that suite
//! does not ask.
//!
//! One test is one claim about answers. All tests share one server (every test has its own repository) or, with
//! `BONDED_E2E_TARGET=host:port[,user,password[,bonded]]`, speak to any other registry.

mod auth;
mod blobs;
mod lists;
mod manifests;
mod names;
mod referrers;
mod refusals;
mod uploads;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use e2e::bonded::{self, Server};
use e2e::http::{Request, Response};
use e2e::{Target, environment};

/// What a test that arranges, acts and asserts returns.
type Outcome = anyhow::Result<()>;

/// What clients send when they pull; some registries answer 404 without it.
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, */*";

/// A registry and a repository of the test's own.
struct Arena {
    /// Keeps the shared server alive; `None` for a foreign one.
    _server: Option<Arc<Server>>,
    target: Target,
    repo: String,
}

impl Arena {
    /// `name` must differ between tests.
    fn new(name: &str) -> anyhow::Result<Self> {
        let (server, target) = match environment::variable("BONDED_E2E_TARGET") {
            Some(text) => (None, foreign(&text)?),
            None => {
                let server = bonded::shared()?;
                let target = server.target().clone();
                (Some(server), target)
            }
        };
        Ok(Self { _server: server, target, repo: format!("{name}/repo") })
    }

    /// Whether it is a registry of others, of which only the specification is asked.
    fn is_foreign() -> bool {
        environment::variable("BONDED_E2E_TARGET").is_some_and(|text| !text.ends_with(",bonded"))
    }

    /// `/v2/<repo>` and the rest.
    fn path(&self, rest: &str) -> String {
        format!("/v2/{}{rest}", self.repo)
    }

    fn send(&self, request: &Request<'_>) -> anyhow::Result<Response> {
        self.target.send(request)
    }

    fn fetch(&self, rest: &str) -> anyhow::Result<Response> {
        self.send(&Request::new("GET", self.path(rest)).header("Accept", ACCEPT))
    }

    fn head(&self, rest: &str) -> anyhow::Result<Response> {
        self.send(&Request::new("HEAD", self.path(rest)).header("Accept", ACCEPT))
    }

    fn delete(&self, rest: &str) -> anyhow::Result<Response> {
        self.send(&Request::new("DELETE", self.path(rest)))
    }

    fn push_blob(&self, bytes: &[u8]) -> anyhow::Result<String> {
        self.target.push_blob(&self.repo, bytes)
    }
}

fn foreign(text: &str) -> anyhow::Result<Target> {
    let mut parts = text.splitn(4, ',');
    let addr = parts.next().unwrap_or_default().parse().context("BONDED_E2E_TARGET: host:port")?;
    let credentials =
        parts.next().zip(parts.next()).map(|(user, password)| (user.to_owned(), password.to_owned()));
    Ok(Target { addr, credentials })
}

/// The answer if its status is one of these; else an error that shows it whole.
#[track_caller]
fn expect(response: Response, statuses: &[u16]) -> anyhow::Result<Response> {
    if statuses.contains(&response.status) {
        return Ok(response);
    }
    let place = std::panic::Location::caller();
    let body: String = response.text().chars().take(500).collect();
    bail!("{place}: {} where {statuses:?} is due; {:?} {body}", response.status, response.headers)
}

/// Like [`expect`], and the error code must be this one.
#[track_caller]
fn refused(response: Response, statuses: &[u16], code: &str) -> Outcome {
    let place = std::panic::Location::caller();
    let response = expect(response, statuses).with_context(|| format!("refused at {place}"))?;
    if response.error_code() != code {
        bail!(
            "{place}: {} with {:?} where {code} is due: {}",
            response.status,
            response.error_code(),
            response.text()
        );
    }
    Ok(())
}
