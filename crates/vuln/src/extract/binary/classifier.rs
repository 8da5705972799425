//! Well-known programs that no package manager installed: told by file name and by the version string in the file.

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::extract::{FileInfo, Found};
use crate::package::{Package, PackageKind};

struct Classifier {
    /// Package name.
    name: &'static str,
    /// File names; a trailing `*` stands for anything.
    files: &'static [&'static str],
    /// The first group is the version.
    pattern: &'static str,
    /// Vendor and product of its CPE.
    cpe: (&'static str, &'static str),
}

const fn row(
    name: &'static str,
    files: &'static [&'static str],
    pattern: &'static str,
    cpe: (&'static str, &'static str),
) -> Classifier {
    Classifier { name, files, pattern, cpe }
}

const CLASSIFIERS: &[Classifier] = &[
    row("node", &["node"], r"node\.js/v(\d+\.\d+\.\d+)", ("nodejs", "node.js")),
    row(
        "python",
        &["python", "python2*", "python3*", "libpython*.so*"],
        r"\x00([23]\.\d{1,2}\.\d{1,2}(?:(?:a|b|rc)\d+)?\+?)\x00",
        ("python_software_foundation", "python"),
    ),
    row("pypy", &["libpypy*.so*"], r"\[PyPy (\d+\.\d+\.\d+)", ("pypy", "pypy")),
    row(
        "redis",
        &["redis-server"],
        r"[^\d.](\d+\.\d+\.\d+)(?:buildkitsandbox-\d+|[a-z0-9]{12,15}-\d{10,19}|\x00+Redis)",
        ("redis", "redis"),
    ),
    row(
        "valkey",
        &["valkey-server"],
        r"[^\d.](\d+\.\d+\.\d+)(?:buildkitsandbox-\d+|[a-z0-9]{12,15}-\d{10,19})",
        ("lfprojects", "valkey"),
    ),
    row("nginx", &["nginx"], r"nginx version: [^/\x00]+/(\d+\.\d+\.\d+)", ("f5", "nginx")),
    row("httpd", &["httpd", "apache2"], r"Apache/(\d+\.\d+\.\d+)", ("apache", "http_server")),
    row("memcached", &["memcached"], r"memcached (\d+\.\d+\.\d+)", ("memcached", "memcached")),
    row(
        "haproxy",
        &["haproxy"],
        r"(?:HAProxy version|HA-Proxy version)?\x00(\d+\.\d+(?:\.\d+)?(?:-[a-z0-9]+)?)-[0-9a-f]{7}\x00",
        ("haproxy", "haproxy"),
    ),
    row(
        "postgresql",
        &["postgres"],
        r"PostgreSQL (\d+(?:\.\d+){1,2}|\d+(?:beta|rc)\d+)",
        ("postgresql", "postgresql"),
    ),
    row("mysql", &["mysqld", "mysql"], r"/mysql-(\d+\.\d+\.\d+)", ("oracle", "mysql")),
    row(
        "mariadb",
        &["mariadbd", "mariadb", "mysqld", "mysql"],
        r"(\d+\.\d+\.\d+)-MariaDB",
        ("mariadb", "mariadb"),
    ),
    row(
        "openssl",
        &["openssl", "libssl.so*", "libcrypto.so*"],
        r"OpenSSL (\d+\.\d+\.\d+[a-z]{0,2}(?:-(?:alpha|beta)\d+)?)",
        ("openssl", "openssl"),
    ),
    row("busybox", &["busybox"], r"BusyBox v(\d+\.\d+\.\d+)", ("busybox", "busybox")),
    row("bash", &["bash"], r"@\(#\)Bash version (\d+\.\d+\.\d+)", ("gnu", "bash")),
    row(
        "php",
        &["php", "php-fpm*", "php-cgi*", "libphp*.so"],
        r"X-Powered-By: PHP/(\d+\.\d+\.\d+(?:(?:alpha|beta|RC)\d+)?)",
        ("php", "php"),
    ),
    row(
        "ruby",
        &["ruby", "libruby*.so*"],
        r"ruby (\d+\.\d+\.\d+)(?:p\d+|preview\d+|rc\d+)? ",
        ("ruby-lang", "ruby"),
    ),
    row("perl", &["perl", "perl5*"], r"/perl5?/(5\.\d+\.\d+)", ("perl", "perl")),
    row("curl", &["curl", "libcurl.so*"], r"(?:lib)?curl/(\d+\.\d+\.\d+)", ("haxx", "curl")),
    row("lighttpd", &["lighttpd"], r"lighttpd/(\d+\.\d+\.\d+)", ("lighttpd", "lighttpd")),
    row("proftpd", &["proftpd"], r"ProFTPD Version (\d+\.\d+\.\d+[a-z]?)", ("proftpd", "proftpd")),
    row("zstd", &["zstd"], r"\x00v(1\.\d+\.\d+)\x00", ("facebook", "zstandard")),
    row("xz", &["xz"], r"XZ Utils\) (\d+\.\d+\.\d+)", ("tukaani", "xz")),
    row("gzip", &["gzip"], r"\x00(1\.\d{1,2})\x00", ("gnu", "gzip")),
    row("rust-std", &["libstd-*.so"], r"rustc (?:version )?(\d+\.\d+\.\d+)", ("rust-lang", "rust")),
    row("erlang", &["erlexec", "beam.smp"], r"otp_src_(\d+\.\d+(?:\.\d+)*)", ("erlang", "erlang/otp")),
    row(
        "dart",
        &["dart"],
        r"Dart,GAv\d+\.\d+ (\d+\.\d+\.\d+)|(\d+\.\d+\.\d+) \(stable\)",
        ("dart", "dart_software_development_kit"),
    ),
    row(
        "fluent-bit",
        &["fluent-bit"],
        r"\x00\x1b\[1mFluent Bit v?(\d+\.\d+\.\d+)|\x00(\d+\.\d+\.\d+)\x00[^\x00]*\x00?Fluent Bit",
        ("treasuredata", "fluent_bit"),
    ),
    row("varnish", &["varnishd"], r"varnish-(\d+\.\d+\.\d+)", ("varnish-software", "varnish_cache")),
    row("sqlite", &["sqlite3", "libsqlite3.so*"], r"\x00(3\.\d+\.\d+)\x00", ("sqlite", "sqlite")),
    row("git", &["git"], r"\x00git version (\d+\.\d+\.\d+)|git/(\d+\.\d+\.\d+)", ("git-scm", "git")),
    row("jq", &["jq"], r"\x00(?:jq-)?(1\.\d+(?:\.\d+)?)\x00", ("jqlang", "jq")),
    row("unbound", &["unbound"], r"unbound (\d+\.\d+\.\d+)", ("nlnetlabs", "unbound")),
    row("bind", &["named"], r"BIND (\d+\.\d+\.\d+)", ("isc", "bind")),
    row("tor", &["tor"], r"Tor (\d+\.\d+\.\d+\.\d+)", ("torproject", "tor")),
    row("swipl", &["swipl"], r"swipl-(\d+\.\d+\.\d+)", ("swi-prolog", "swi-prolog")),
];

static COMPILED: LazyLock<Vec<Option<Regex>>> = LazyLock::new(|| {
    CLASSIFIERS.iter().map(|classifier| Regex::new(&format!("(?-u){}", classifier.pattern)).ok()).collect()
});

fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut wild = false;
    for part in parts {
        wild = true;
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or(""),
            None => return false,
        }
    }
    wild || rest.is_empty()
}

/// Whether any classifier knows the file's name.
pub(super) fn is_known(info: &FileInfo<'_>) -> bool {
    CLASSIFIERS.iter().any(|classifier| classifier.files.iter().any(|pattern| matches(pattern, info.name)))
}

/// Adds the programs whose version is in these bytes, unless already found.
pub(super) fn classify(info: &FileInfo<'_>, bytes: &[u8], found: &mut Found) {
    for (classifier, regex) in CLASSIFIERS.iter().zip(COMPILED.iter()) {
        let named = classifier.files.iter().any(|pattern| matches(pattern, info.name));
        if !named || found.packages.iter().any(|package| package.name == classifier.name) {
            continue;
        }
        let groups = regex.as_ref().and_then(|regex| regex.captures(bytes));
        let version = groups.and_then(|groups| {
            groups
                .iter()
                .skip(1)
                .flatten()
                .next()
                .map(|group| String::from_utf8_lossy(group.as_bytes()).into_owned())
        });
        if let Some(version) = version {
            let mut package = Package::new(PackageKind::Generic, classifier.name, version.as_str());
            let (vendor, product) = classifier.cpe;
            package
                .properties
                .insert("cpe".to_owned(), format!("cpe:2.3:a:{vendor}:{product}:{version}:*:*:*:*:*:*:*"));
            found.package(package);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert!(COMPILED.iter().all(Option::is_some));
    }

    #[test]
    fn names_match_with_wildcards() {
        assert!(matches("libpython*.so*", "libpython3.11.so.1.0"));
        assert!(matches("python3*", "python3.12"));
        assert!(!matches("python", "python3"));
        assert!(!matches("node", "nodejs"));
    }
}
