//! By which address and from where a client reached us, seen through trusted proxies.
//!
//! `X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` (RFC 7239) are headers that anybody can send: they count only
//! when the connection comes from a configured proxy, only of the kind that this proxy writes – it passes the other kind
//! on as the client sent it – and only up to the first address that is not one. The host is checked for syntax before it
//! may stand in a token challenge.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header, uri::Authority};

use super::context::ConnectionInfo;
use crate::config::{Forwarding, Network};

/// Longest host that is believed, in bytes (RFC 1035's 253 and a port).
const MAX_HOST_BYTES: usize = 259;
/// Most addresses of a forwarding chain that are looked at, from the nearest.
const MAX_HOPS: usize = 16;

/// The proxies whose word counts, and how they say it.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    forwarding: Forwarding,
}

/// How a client reached us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub client: IpAddr,
    /// Whether the client's own connection was encrypted.
    pub https: bool,
    /// Host, and port if any, that the client addressed; unset if absent or malformed.
    pub host: Option<String>,
}

impl Origin {
    /// `https://host` as the client wrote it; unset without a host.
    pub fn base_url(&self) -> Option<String> {
        let scheme = if self.https { "https" } else { "http" };
        self.host.as_ref().map(|host| format!("{scheme}://{host}"))
    }
}

impl TrustedProxies {
    /// Exactly these networks, which write headers of this kind.
    pub const fn new(networks: Vec<Network>, forwarding: Forwarding) -> Self {
        Self { networks, forwarding }
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }

    /// The client's address.
    pub fn client(&self, connection: &ConnectionInfo, headers: &HeaderMap) -> IpAddr {
        let peer = connection.peer.ip().to_canonical();
        if self.trusts(peer) { self.client_behind(peer, &self.forwarded(headers)) } else { peer }
    }

    fn forwarded(&self, headers: &HeaderMap) -> Forwarded {
        match self.forwarding {
            Forwarding::XForwarded => x_forwarded(headers),
            Forwarding::Forwarded => forwarded(headers),
        }
    }

    fn client_behind(&self, peer: IpAddr, forwarded: &Forwarded) -> IpAddr {
        let mut client = peer;
        for hop in forwarded.chain.iter().map(|hop| address(hop)) {
            let Some(ip) = hop else { break };
            client = ip;
            if !self.trusts(ip) {
                break;
            }
        }
        client
    }

    /// How the client of a request reached us.
    pub fn origin(&self, connection: &ConnectionInfo, uri: &Uri, headers: &HeaderMap) -> Origin {
        let own_host =
            uri.authority().map(Authority::as_str).or_else(|| text(headers, header::HOST.as_str()));
        let mut origin = Origin {
            client: connection.peer.ip().to_canonical(),
            https: connection.tls.is_some(),
            host: own_host.and_then(host),
        };
        if !self.trusts(origin.client) {
            return origin;
        }
        let forwarded = self.forwarded(headers);
        origin.client = self.client_behind(origin.client, &forwarded);
        if let Some(proto) = forwarded.proto {
            origin.https = proto.eq_ignore_ascii_case("https");
        }
        if let Some(named) = forwarded.host {
            origin.host = host(&named);
        }
        origin
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A syntactically valid `host[:port]`, else nothing.
fn host(text: &str) -> Option<String> {
    let good =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let short = (1..=MAX_HOST_BYTES).contains(&text.len());
    let authority: Authority = (short && text.bytes().all(good)).then(|| text.parse().ok())??;
    // `http` takes "host:99999" for an authority: the port must also be one.
    let port_ok = authority.as_str().len() == authority.host().len() || authority.port_u16().is_some();
    (port_ok && !authority.host().is_empty()).then(|| text.to_owned())
}

/// The elements of a header's lists, the last – which the nearest proxy wrote – first.
fn elements<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().rev();
    lines.filter_map(|value| value.to_str().ok()).flat_map(|line| line.rsplit(',')).take(MAX_HOPS)
}

/// `1.2.3.4`, `1.2.3.4:80`, `[::1]:80`, `::1`.
fn address(text: &str) -> Option<IpAddr> {
    let ip = text.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|addr| addr.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    ip.or_else(bracketed).map(|ip: IpAddr| ip.to_canonical())
}

/// What proxies say: the client addresses, nearest first, and what the nearest says about protocol and host.
#[derive(Debug, Default)]
struct Forwarded {
    chain: Vec<String>,
    proto: Option<String>,
    host: Option<String>,
}

fn x_forwarded(headers: &HeaderMap) -> Forwarded {
    let last = |name| elements(headers, name).next().map(|text| text.trim().to_owned());
    Forwarded {
        chain: elements(headers, "x-forwarded-for").map(|hop| hop.trim().to_owned()).collect(),
        proto: last("x-forwarded-proto"),
        host: last("x-forwarded-host"),
    }
}

/// RFC 7239 §4.
fn forwarded(headers: &HeaderMap) -> Forwarded {
    let mut found = Forwarded::default();
    for (nth, element) in elements(headers, "forwarded").enumerate() {
        for pair in element.split(';') {
            let Some((key, value)) = pair.split_once('=') else { continue };
            let value = value.trim().trim_matches('"').to_owned();
            match key.trim().to_ascii_lowercase().as_str() {
                "for" => found.chain.push(value),
                "proto" if nth == 0 => found.proto = Some(value),
                "host" if nth == 0 => found.host = Some(value),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, lines: &[(&'static str, &str)]) -> (String, bool, Option<String>) {
        told(Forwarding::XForwarded, peer, lines)
    }

    fn told(
        forwarding: Forwarding,
        peer: &str,
        lines: &[(&'static str, &str)],
    ) -> (String, bool, Option<String>) {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("network")], forwarding);
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header value"));
        }
        let connection = ConnectionInfo {
            peer: format!("{peer}:1000").parse().expect("peer"),
            local: "127.0.0.1:5000".parse().expect("local"),
            tls: None,
        };
        let origin = proxies.origin(&connection, &Uri::from_static("/v2/"), &headers);
        (origin.client.to_string(), origin.https, origin.host)
    }

    fn expect(client: &str, https: bool, host: &str) -> (String, bool, Option<String>) {
        (client.to_owned(), https, (!host.is_empty()).then(|| host.to_owned()))
    }

    #[test]
    fn forwarded_headers_of_strangers_are_ignored() {
        let lines = [
            ("host", "a"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "host=evil"),
        ];
        assert_eq!(seen("192.0.2.1", &lines), expect("192.0.2.1", false, "a"));
    }

    #[test]
    fn forwarded_headers_of_a_proxy_count_up_to_the_first_stranger() {
        let lines = [
            ("host", "inner"),
            ("x-forwarded-for", "6.6.6.6, 1.1.1.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "registry.example.com"),
        ];
        assert_eq!(seen("10.0.0.1", &lines), expect("1.1.1.1", true, "registry.example.com"));
        let lines = [
            ("host", "inner"),
            ("forwarded", "for=6.6.6.6, for=\"[2001:db8::1]:99\";proto=https;host=r.example"),
        ];
        assert_eq!(told(Forwarding::Forwarded, "10.0.0.1", &lines), expect("2001:db8::1", true, "r.example"));
        assert_eq!(seen("10.0.0.1", &[("x-forwarded-for", "unknown")]), expect("10.0.0.1", false, ""));
    }

    #[test]
    fn what_the_proxy_does_not_write_itself_is_the_clients_and_counts_for_nothing() {
        let lines = [
            ("host", "inner"),
            ("forwarded", "for=6.6.6.6;proto=https;host=evil.example"),
            ("forwarded", "for=1.1.1.1;host=r.example"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-host", "x.example"),
        ];
        assert_eq!(seen("10.0.0.1", &lines), expect("2.2.2.2", false, "x.example"));
        assert_eq!(told(Forwarding::Forwarded, "10.0.0.1", &lines), expect("1.1.1.1", false, "r.example"));
    }

    #[test]
    fn a_malformed_host_is_no_host() {
        for bad in ["", "a b", "a/b", "a@b", "a\"", "a:b:c", "a:99999", "a,b", "<x>"] {
            assert_eq!(host(bad), None, "{bad}");
        }
        for good in ["a", "a:80", "[::1]:5000", "registry.example.com", "10.0.0.1:5000"] {
            assert_eq!(host(good).as_deref(), Some(good));
        }
    }
}
