//! Which addresses may be connected to: what strangers name must not reach what only this machine or network may see.
//!
//! Addresses that are not of the public internet are refused – this machine, private and link-local networks, the
//! metadata services of clouds – unless their network or the host that was asked for was permitted. The addresses that
//! a name has are judged and then connected to, so a name that changes its address in between gains nothing. Addresses
//! that carry an IPv4 address inside an IPv6 one are judged by both.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Name, Resolve, Resolving};
use url::{Host, Url};

use crate::UpstreamError;

/// What of IPv4 is not the public internet (IANA's special-purpose registry; the last is Azure's host service).
const SPECIAL_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// Which addresses may be connected to.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    everything: bool,
    hosts: BTreeSet<String>,
    networks: Vec<IpNet>,
}

/// An address that may not be connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is at {address}, which is not of the public internet and was not permitted")]
pub(crate) struct Forbidden {
    pub host: String,
    pub address: IpAddr,
}

impl Guard {
    /// The public internet only: for addresses that others name.
    pub fn public() -> Self {
        Self::default()
    }

    /// Every address: for a user who types the address and could connect without us.
    pub fn anywhere() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Permits a network (`10.1.0.0/16`), an address, or whatever address a host of this name has.
    ///
    /// # Errors
    /// [`UpstreamError::Permission`] for text that is none of these.
    pub fn permit(mut self, rule: &str) -> Result<Self, UpstreamError> {
        let rule = rule.trim();
        if let Ok(network) = rule.parse::<IpNet>() {
            self.networks.push(network);
        } else if let Ok(address) = rule.parse::<IpAddr>() {
            self.networks.push(address.into());
        } else {
            match Host::parse(rule) {
                Ok(Host::Domain(name)) if !name.is_empty() => self.hosts.insert(bare(&name)),
                _ => return Err(UpstreamError::Permission(rule.to_owned())),
            };
        }
        Ok(self)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.everything
    }

    /// Judges one address of a host.
    pub(crate) fn check(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        let of_network = |address: &IpAddr| self.networks.iter().any(|network| network.contains(address));
        let permitted = |address: IpAddr| of_network(&address) || is_public(address);
        let inner = embedded(address).map(IpAddr::V4);
        let fine = self.everything
            || self.hosts.contains(&bare(host))
            || of_network(&address)
            || inner.map_or_else(|| is_public(address), permitted);
        if fine { Ok(()) } else { Err(Forbidden { host: host.to_owned(), address }) }
    }

    /// Judges an address that stands in a URL itself; names are judged when they are resolved.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), Forbidden> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(&address.to_string(), address.into()),
            Some(Host::Ipv6(address)) => self.check(&address.to_string(), address.into()),
            _ => Ok(()),
        }
    }

    /// Those addresses of a host that may be connected to.
    fn permitted(
        &self,
        host: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Forbidden> {
        let (mut out, mut refused) = (Vec::new(), None);
        for address in found {
            match self.check(host, address.ip()) {
                Ok(()) => out.push(address),
                Err(forbidden) => refused = Some(forbidden),
            }
        }
        match refused {
            Some(forbidden) if out.is_empty() => Err(forbidden),
            _ => Ok(out),
        }
    }
}

/// Names compare without case and the root's dot.
fn bare(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64, 6to4.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        _ => None,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|(network, bits)| {
            let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
            u32::from(address) & mask == u32::from(*network)
        }),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Global unicast (2000::/3) without protocol assignments (Teredo among them) and documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let assignments = a == 0x2001 && b < 0x200;
    let documentation = (a == 0x2001 && b == 0xdb8) || (a == 0x3fff && b < 0x1000);
    a & 0xe000 == 0x2000 && !assignments && !documentation
}

/// Resolves names by the system, and gives only those addresses that may be connected to.
pub(crate) struct Guarded(pub Arc<Guard>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let permitted = guard.permitted(name.as_str(), found)?;
            let addresses: reqwest::dns::Addrs = Box::new(permitted.into_iter());
            Ok(addresses)
        })
    }
}

/// The refusal within an error, if that is its cause.
pub(crate) fn refusal(error: &reqwest::Error) -> Option<Forbidden> {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(forbidden) = inner.downcast_ref::<Forbidden>() {
            return Some(forbidden.clone());
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(guard: &Guard, host: &str, address: &str) -> bool {
        guard.check(host, address.parse().expect("address")).is_ok()
    }

    #[test]
    fn only_the_public_internet_is_open() {
        let guard = Guard::public();
        for address in
            ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2001:4860:4860::8888"]
        {
            assert!(verdict(&guard, "x.example", address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "100::1",
            "fec0::1",
        ] {
            assert!(!verdict(&guard, "x.example", address), "{address}");
        }
    }

    #[test]
    fn an_address_inside_an_address_is_judged() {
        let guard = Guard::public();
        for address in [
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(!verdict(&guard, "x.example", address), "{address}");
        }
        assert!(verdict(&guard, "x.example", "::ffff:8.8.8.8"));
        assert!(verdict(&guard, "x.example", "64:ff9b::808:808"));
    }

    #[test]
    fn permissions_hold_for_their_network_or_host_only() {
        let guard = Guard::public().permit("10.1.0.0/16").and_then(|g| g.permit("Registry.Internal."));
        let guard = guard.and_then(|g| g.permit("fd00::7")).expect("rules");
        for (host, address, expected) in [
            ("x.example", "10.1.2.3", true),
            ("x.example", "::ffff:10.1.2.3", true),
            ("x.example", "10.2.0.1", false),
            ("registry.internal", "192.168.0.9", true),
            ("registry.internal.", "127.0.0.1", true),
            ("a.registry.internal", "192.168.0.9", false),
            ("x.example", "fd00::7", true),
            ("x.example", "fd00::8", false),
        ] {
            assert_eq!(verdict(&guard, host, address), expected, "{host} {address}");
        }
        assert!(verdict(&Guard::anywhere(), "x.example", "127.0.0.1"));
        for rule in ["", "10.0.0.0/33", "a b", "http://x/"] {
            assert!(Guard::public().permit(rule).is_err(), "{rule}");
        }
    }

    #[test]
    fn of_several_addresses_only_the_permitted_ones_are_left() {
        let all = ["10.0.0.1:0", "8.8.8.8:0"].map(|text| text.parse().expect("address"));
        let guard = Guard::public();
        assert_eq!(guard.permitted("x.example", all.into_iter()), Ok(vec![all[1]]));
        let refused = guard.permitted("x.example", all.into_iter().take(1)).expect_err("refused");
        assert_eq!(refused.address.to_string(), "10.0.0.1");
        let text = Url::parse("http://0x7f.1:80/").expect("address");
        assert!(guard.check_url(&text).is_err(), "however an address is written");
    }
}
