//! What a registry asks for in its 401, and how it is met.

use serde::Deserialize;
use url::Url;

use crate::client::{Client, place};
use crate::{Credentials, UpstreamError};

/// Longest answer of a token service.
const MAX_TOKEN_BYTES: usize = 1 << 20;

/// A parsed `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// Reads one challenge; parameters may be quoted, in any order.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        let mut rest = rest.trim();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, next) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').map_or((after, ""), |(value, next)| (value.trim(), next)),
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value.to_owned()),
                "service" => service = Some(value.to_owned()),
                "scope" => scope = Some(value.to_owned()),
                _ => {}
            }
            rest = next.trim_start_matches([',', ' ']);
        }
        Some(Self::Bearer { realm: realm?, service, scope })
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// Asks the token service of `host` for a token.
pub(crate) async fn token(
    client: &Client,
    host: &str,
    realm: &str,
    query: &[(&str, &str)],
    credentials: Option<&Credentials>,
) -> Result<String, UpstreamError> {
    let mut url = Url::parse(realm).map_err(|_| UpstreamError::Challenge {
        host: host.to_owned(),
        challenge: format!("the realm {realm} is no address"),
    })?;
    url.query_pairs_mut().extend_pairs(query);
    let mut request = client.get(&url)?;
    if let Some(credentials) = credentials {
        if !same_domain(host, url.host_str().unwrap_or_default()) {
            return Err(UpstreamError::ForeignRealm { host: host.to_owned(), realm: place(&url) });
        }
        request = request.basic_auth(&credentials.user, Some(&credentials.password));
    }
    let place = place(&url);
    let answer = client.send(request, &place).await?;
    if !answer.status().is_success() {
        return Err(UpstreamError::Status { place, status: answer.status() });
    }
    let mut bytes = Vec::new();
    crate::client::copy(answer, oci::Algorithm::Sha256, MAX_TOKEN_BYTES as u64, &place, &mut bytes).await?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| UpstreamError::Document {
        place: place.clone(),
        reason: "no JSON with a token".into(),
    })?;
    let found = token.token.or(token.access_token).filter(|token| !token.is_empty());
    found.ok_or_else(|| UpstreamError::Document { place, reason: "the answer has no token".into() })
}

/// One host, or two names under one domain of at least two labels; addresses must be equal.
fn same_domain(host: &str, other: &str) -> bool {
    let bare = |host: &str| match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name.to_ascii_lowercase(),
        _ => host.to_ascii_lowercase(),
    };
    let (host, other) = (bare(host), bare(other));
    if host == other {
        return true;
    }
    if [&host, &other].iter().any(|name| name.parse::<std::net::IpAddr>().is_ok() || name.starts_with('[')) {
        return false;
    }
    let domain = |name: &str| {
        let labels: Vec<&str> = name.rsplit('.').take(2).collect();
        (labels.len() == 2).then(|| labels.join("."))
    };
    domain(&host).is_some_and(|own| domain(&other).is_some_and(|theirs| own == theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_in_any_order_and_quoting() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        };
        for (header, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull,push\"",
                Some(bearer("https://a/t", Some("s"), Some("repository:a/b:pull,push"))),
            ),
            ("bearer service=s, realm=https://a/t", Some(bearer("https://a/t", Some("s"), None))),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
            ("Bearer realm=\"open", None),
        ] {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }

    #[test]
    fn credentials_stay_in_their_domain() {
        for (host, realm, expected) in [
            ("registry-1.docker.io", "auth.docker.io", true),
            ("registry.gitlab.com", "gitlab.com", true),
            ("r.example:5000", "r.example", true),
            ("r.example", "evil.test", false),
            ("10.0.0.1:5000", "10.0.0.1", true),
            ("10.0.0.1", "9.0.0.1", false),
            ("localhost:5000", "localhost", true),
            ("localhost", "elsewhere", false),
        ] {
            assert_eq!(same_domain(host, realm), expected, "{host} {realm}");
        }
    }
}
