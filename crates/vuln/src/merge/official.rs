//! Whether a system package comes from the distribution itself.
//!
//! The distribution's advisories cover its own packages only, so only those may answer for the files they own. rpm
//! states a vendor; Debian states only a maintainer, and its maintainers use any address, so there known third parties
//! are listed.

use crate::package::{Distro, Package, PackageKind};

/// Vendors of distributions, as the beginning of rpm's `VENDOR`, lower case → ids for which they are official.
const RPM_VENDORS: [(&str, &[&str]); 24] = [
    ("red hat", &["rhel", "centos", "fedora", "scientific", "ol", "rocky", "almalinux"]),
    ("centos", &["centos"]),
    ("fedora project", &["fedora"]),
    ("almalinux", &["almalinux"]),
    ("rocky", &["rocky"]),
    ("oracle america", &["ol"]),
    ("oracle", &["ol"]),
    ("scientific linux", &["scientific"]),
    ("suse", &["sles", "sled", "sle", "sl-micro", "suse", "opensuse"]),
    ("opensuse", &["opensuse"]),
    ("amazon", &["amzn"]),
    ("microsoft", &["mariner", "azurelinux"]),
    ("vmware", &["photon"]),
    ("broadcom", &["photon"]),
    ("openeuler", &["openeuler"]),
    ("http://openeuler.org", &["openeuler"]),
    ("mageia", &["mageia"]),
    ("virtuozzo", &["virtuozzo"]),
    ("cloudlinux", &["cloudlinux"]),
    ("eurolinux", &["eurolinux"]),
    ("miracle", &["miraclelinux"]),
    ("anolis", &["anolis"]),
    ("tencent", &["tencentos", "opencloudos"]),
    ("opencloudos", &["opencloudos"]),
];

/// Parts of maintainers' names and addresses, lower case, that are not of Debian or Ubuntu.
const DEB_THIRD_PARTIES: [&str; 52] = [
    "@docker.com",
    "nodesource",
    "@google.com",
    "@microsoft.com",
    "@hashicorp.com",
    "nvidia",
    "cudatools",
    "@mariadb.",
    "mysql release engineering",
    "@oracle.com",
    "mongodb",
    "@elastic.co",
    "datadog",
    "grafana",
    "influxdata",
    "jenkins",
    "kubernetes",
    "@github.com",
    "redis.io",
    "@redis.com",
    "yarn developers",
    "nginx-packaging",
    "@nginx.com",
    "@f5.com",
    "azul",
    "adoptium",
    "percona",
    "rabbitmq",
    "clickhouse",
    "cloudflare",
    "tailscale",
    "deb.sury.org",
    "confluent",
    "gitlab",
    "puppet",
    "@chef.io",
    "saltproject",
    "splunk",
    "newrelic",
    "dynatrace",
    "brave",
    "@mozilla.com",
    "sysdig",
    "@amazon.com",
    "@slack-corp.com",
    "varnish-software",
    "haproxy technologies",
    "neo4j",
    "couchbase",
    "bitnami",
    "@vmware.com",
    "packagecloud",
];

/// Domains of the distributions' own addresses: teams that package NVIDIA's or Puppet's software name it in their names.
const DEB_DOMAINS: [&str; 3] = ["debian.org", "debian.net", "ubuntu.com"];

/// Parts of Debian versions that third-party repositories add.
const DEB_VERSIONS: [&str; 5] = ["deb.sury.org", ".pgdg", "nodesource", "~ppa", "nginx.org"];

/// Whether the distribution (not a vendor's repository) supplied this package.
pub fn is_official(distro: Option<&Distro>, package: &Package) -> bool {
    let supplier = package.supplier.as_deref().unwrap_or("").to_ascii_lowercase();
    match package.kind {
        PackageKind::Deb => {
            (has_own_address(&supplier) || !DEB_THIRD_PARTIES.iter().any(|part| supplier.contains(part)))
                && !DEB_VERSIONS.iter().any(|part| package.version.contains(part))
        }
        PackageKind::Rpm => {
            let known = RPM_VENDORS.iter().filter(|(vendor, _)| supplier.starts_with(vendor));
            match distro {
                Some(distro) => known.flat_map(|(_, ids)| ids.iter()).any(|id| {
                    distro.id == *id
                        || distro.id.starts_with(&format!("{id}-"))
                        || (distro.id.starts_with("opensuse") && *id == "suse")
                }),
                None => known.count() > 0,
            }
        }
        PackageKind::Apk | PackageKind::Alpm | PackageKind::Portage | PackageKind::Opkg => true,
        _ => false,
    }
}

/// `Name <local@lists.debian.org>`, in lower case.
fn has_own_address(supplier: &str) -> bool {
    let address =
        supplier.rsplit_once('<').map_or(supplier, |(_, rest)| rest).trim_end().trim_end_matches('>');
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let below =
        |own: &str| domain.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    DEB_DOMAINS.into_iter().any(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_is_of_its_distribution_whatever_software_it_packages() {
        let by = |maintainer: &str, version: &str| {
            let mut package = Package::new(PackageKind::Deb, "x", version);
            package.supplier = Some(maintainer.to_owned());
            is_official(Some(&Distro { id: "debian".to_owned(), ..Distro::default() }), &package)
        };
        assert!(by("Debian NVIDIA Maintainers <pkg-nvidia-devel@lists.alioth.debian.org>", "1"));
        assert!(by("Puppet Package Maintainers <pkg-puppet-devel@alioth-lists.debian.net>", "1"));
        assert!(by("Ubuntu Developers <ubuntu-devel-discuss@lists.ubuntu.com>", "1"));
        assert!(!by("cudatools <cudatools@nvidia.com>", "1"));
        assert!(!by("Puppet Labs <info@puppet.example>", "1"));
        assert!(!by("NVIDIA <x@notdebian.org>", "1"));
        assert!(!by("nvidia <debian.org>", "1"), "no address");
        assert!(!by(
            "Debian PHP Maintainers <team+pkg-php@tracker.debian.org>",
            "8.3.1+deb.sury.org~jammy+1"
        ));
    }

    #[test]
    fn a_vendor_is_official_only_on_its_own_distribution() {
        let on = |id: &str, vendor: &str| {
            let distro = Distro { id: id.to_owned(), ..Distro::default() };
            let mut package = Package::new(PackageKind::Rpm, "x", "1");
            package.supplier = Some(vendor.to_owned());
            is_official(Some(&distro), &package)
        };
        assert!(on("mariner", "Microsoft Corporation"));
        assert!(!on("rhel", "Microsoft Corporation"));
        assert!(on("opensuse-leap", "SUSE LLC <https://www.suse.com/>"));
        assert!(!on("almalinux", "NodeSource"));
        assert!(!on("almalinux", ""));
    }
}
