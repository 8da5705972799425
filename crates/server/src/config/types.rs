//! Values of the configuration that have a grammar: durations, sizes, addresses, networks.
//!
//! Why own types: a bare number in a configuration file says neither its unit nor its limits. Each type here parses
//! one written form, prints the same form again, and states its pattern in the JSON Schema, so that a wrong value is
//! refused where it is read and never reaches the code that uses it.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Implements serde and schema by `FromStr` and `Display`.
macro_rules! text_type {
    ($name:ident, $schema_name:literal, $pattern:literal, $description:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $schema_name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}

/// Why a written value is not one of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a duration.
    #[error(
        "`{0}` is not a duration: write a number with a unit, such as \"500ms\", \"10s\", \"72h\", \"30d\" or \"1h30m\""
    )]
    Duration(String),
    /// Not a size.
    #[error(
        "`{0}` is not a size: write a number of bytes with a unit, such as \"64KiB\", \"4MiB\", \"5GiB\" or \"10MB\""
    )]
    Size(String),
    /// Not an address to listen on.
    #[error(
        "`{0}` is not an address: write \"IP:PORT\", such as \"127.0.0.1:5000\", \"[::]:5000\" or \":5000\" for every address"
    )]
    Listen(String),
    /// Not a network.
    #[error("`{0}` is not a network: write \"10.0.0.0/8\", \"fd00::/8\" or a single address")]
    Network(String),
    /// Not an external address.
    #[error(
        "`{0}` is not the address of a registry: write \"https://HOST\" or \"https://HOST:PORT\" without a path, user or query"
    )]
    ExternalUrl(String),
}

/// Splits `"72h"` into the number and the unit behind it; the rest follows.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text.get(..digits)?.parse().ok()?;
    let rest = text.get(digits..)?;
    let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    Some((number, rest.get(..unit)?, rest.get(unit..)?))
}

/// A length of time, written as numbers with units (`ms`, `s`, `m`, `h`, `d`, `w`), such as `"1h30m"`; `"0s"` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

const MILLIS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Duration {
    /// This many whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// This many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// The standard library's form.
    pub const fn std(self) -> std::time::Duration {
        self.0
    }

    /// Whether it is no time at all; keys say what that means for them.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Duration {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Duration(text.to_owned());
        let mut rest = text.trim();
        let mut total = 0_u64;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let (number, unit, after) = number_and_unit(rest).ok_or_else(wrong)?;
            let (_, millis) = MILLIS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
            rest = after.trim_start();
        }
        Ok(Self::from_millis(total))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        // The largest unit that divides it: "72h", not "3d", stays readable either way, and every value has one form.
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
        match units.iter().find(|(_, size)| millis > 0 && millis.is_multiple_of(*size)) {
            Some((unit, size)) => write!(f, "{}{unit}", millis / size),
            None => f.write_str("0s"),
        }
    }
}

text_type!(
    Duration,
    "Duration",
    r"^([0-9]+(ms|s|m|h|d|w) *)+$",
    "A length of time: numbers with units ms, s, m, h, d, w, such as \"72h\" or \"1h30m\"."
);

/// A number of bytes, written with a unit: `B`, `KiB`, `MiB`, `GiB`, `TiB` (1024) or `KB`, `MB`, `GB`, `TB` (1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

const BYTES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

impl Size {
    /// This many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many times 1024 bytes.
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// This many times 1024 * 1024 bytes.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory (saturating where that is narrower).
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Size(text.to_owned());
        let trimmed: String = text.split_whitespace().collect();
        let (number, unit, rest) = number_and_unit(&trimmed).ok_or_else(wrong)?;
        let scale = if unit.is_empty() {
            Some(1)
        } else {
            BYTES.iter().find(|(name, _)| *name == unit).map(|(_, s)| *s)
        };
        match (rest, scale.and_then(|scale| number.checked_mul(scale))) {
            ("", Some(bytes)) => Ok(Self(bytes)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BYTES.iter().find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size)) {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => f.write_str("0B"),
        }
    }
}

text_type!(
    Size,
    "Size",
    r"^[0-9]+ *(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?$",
    "A number of bytes with a unit, such as \"4MiB\" (1024-based) or \"10MB\" (1000-based)."
);

/// An address to listen on: `IP:PORT`, `localhost:PORT`, or `:PORT` for every IPv4 address. Port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listen(SocketAddr);

impl Listen {
    /// The socket address.
    pub const fn addr(self) -> SocketAddr {
        self.0
    }

    /// Whether only this machine can reach it.
    pub const fn is_loopback(self) -> bool {
        self.0.ip().is_loopback()
    }
}

impl From<SocketAddr> for Listen {
    fn from(addr: SocketAddr) -> Self {
        Self(addr)
    }
}

impl FromStr for Listen {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Listen(text.to_owned());
        let named = |prefix: &str, ip: Ipv4Addr| {
            let port = text.strip_prefix(prefix)?.parse::<u16>().ok()?;
            Some(SocketAddr::new(IpAddr::V4(ip), port))
        };
        text.parse::<SocketAddr>()
            .ok()
            .or_else(|| named(":", Ipv4Addr::UNSPECIFIED))
            .or_else(|| named("localhost:", Ipv4Addr::LOCALHOST))
            .map(Self)
            .ok_or_else(wrong)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_type!(
    Listen,
    "Listen",
    r"^.*:[0-9]+$",
    "An address to listen on: \"IP:PORT\", \"localhost:PORT\" or \":PORT\"."
);

/// A network of IP addresses in CIDR form; a bare address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(ipnet::IpNet);

impl Network {
    /// Whether the address lies in it. An IPv4 address that arrives mapped into IPv6 counts as the IPv4 one.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

impl FromStr for Network {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse::<ipnet::IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(ipnet::IpNet::from))
            .map(|net| Self(net.trunc()))
            .map_err(|_| ValueError::Network(text.to_owned()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_type!(
    Network,
    "Network",
    r"^[0-9a-fA-F.:]+(/[0-9]+)?$",
    "A network in CIDR form, such as \"10.0.0.0/8\", or one address."
);

/// The address by which clients reach the registry: scheme and authority, nothing behind it.
///
/// Prints without a trailing slash, so that a path can be appended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExternalUrl(url::Url);

impl ExternalUrl {
    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The host alone.
    pub fn host(&self) -> Option<String> {
        self.0.host_str().map(|host| host.trim_matches(['[', ']']).to_owned())
    }

    /// Host, and port where it is not the scheme's own.
    pub fn authority(&self) -> &str {
        self.0.authority()
    }
}

impl FromStr for ExternalUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::ExternalUrl(text.to_owned());
        let url: url::Url = text.parse().map_err(|_| wrong())?;
        let plain = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty();
        if matches!(url.scheme(), "http" | "https") && url.has_host() && url.password().is_none() && plain {
            Ok(Self(url))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for ExternalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

text_type!(
    ExternalUrl,
    "ExternalUrl",
    r"^https?://[^/?#@]+/?$",
    "Scheme and host of the registry as clients see it, such as \"https://registry.example.com\"."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_and_print_in_one_form() {
        for (text, millis, printed) in [
            ("500ms", 500, "500ms"),
            ("10s", 10_000, "10s"),
            ("72h", 259_200_000, "3d"),
            ("1h30m", 5_400_000, "90m"),
            ("1h 30m", 5_400_000, "90m"),
            ("2w", 1_209_600_000, "14d"),
            ("0s", 0, "0s"),
        ] {
            let duration: Duration = text.parse().expect(text);
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(duration.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<Duration>(), Ok(duration));
        }
        for text in
            ["", "10", "s", "1.5h", "-1s", "10 s", "10y", "99999999999999999999s", "99999999999999999w"]
        {
            assert!(text.parse::<Duration>().is_err(), "{text} was taken for a duration");
        }
    }

    #[test]
    fn sizes_parse_and_print_in_one_form() {
        for (text, bytes, printed) in [
            ("4MiB", 4 << 20, "4MiB"),
            ("16 KiB", 16 << 10, "16KiB"),
            ("10MB", 10_000_000, "10MB"),
            ("5GiB", 5 << 30, "5GiB"),
            ("17", 17, "17B"),
            ("0", 0, "0B"),
        ] {
            let size: Size = text.parse().expect(text);
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<Size>(), Ok(size));
        }
        for text in ["", "MiB", "4mib", "4M", "1.5GiB", "-1", "99999999999TiB", "1GiB1"] {
            assert!(text.parse::<Size>().is_err(), "{text} was taken for a size");
        }
    }

    #[test]
    fn listen_addresses_need_a_port_and_no_name_but_localhost() {
        for (text, printed) in [
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            (":5000", "0.0.0.0:5000"),
            ("localhost:0", "127.0.0.1:0"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(text.parse::<Listen>().expect(text).to_string(), printed);
        }
        for text in ["", "5000", "127.0.0.1", "example.com:80", ":99999", "::1:80:"] {
            assert!(text.parse::<Listen>().is_err(), "{text} was taken for an address");
        }
    }

    #[test]
    fn networks_contain_mapped_addresses() {
        let network: Network = "10.1.2.3/8".parse().expect("a network");
        assert_eq!(network.to_string(), "10.0.0.0/8");
        assert!(network.contains("10.200.0.1".parse().expect("ip")));
        assert!(network.contains("::ffff:10.0.0.1".parse().expect("ip")));
        assert!(!network.contains("11.0.0.1".parse().expect("ip")));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
    }

    #[test]
    fn external_url_is_scheme_and_authority_only() {
        let url: ExternalUrl = "https://registry.example.com:8443/".parse().expect("url");
        assert_eq!(
            (url.to_string().as_str(), url.authority()),
            ("https://registry.example.com:8443", "registry.example.com:8443")
        );
        for text in
            ["registry.example.com", "ftp://x", "https://x/path", "https://u:p@x", "https://x?q", "https://"]
        {
            assert!(text.parse::<ExternalUrl>().is_err(), "{text}");
        }
    }
}
