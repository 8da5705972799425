//! Files that tell the distribution. They are only kept here; [`crate::merge`] decides, because a layer above may
//! replace one of them and because some are right only together (`debian_version` beside an os-release without version).

use super::text::text;
use super::{Extractor, Parse, Scope};

/// Kept in full; what tells the distribution is near the beginning of each.
const KEPT_BYTES: usize = 16 << 10;

/// In order of trust.
pub(crate) const OS_RELEASE: [&str; 5] = [
    "etc/os-release",
    "usr/lib/os-release",
    "x86_64-bottlerocket-linux-gnu/sys-root/usr/lib/os-release",
    "aarch64-bottlerocket-linux-gnu/sys-root/usr/lib/os-release",
    "etc/initrd-release",
];

/// One-line release files, the specific before the general.
pub(crate) const RELEASE_LINES: [&str; 12] = [
    "etc/almalinux-release",
    "etc/rocky-release",
    "etc/oracle-release",
    "etc/centos-release",
    "etc/fedora-release",
    "etc/photon-release",
    "etc/mariner-release",
    "etc/azurelinux-release",
    "etc/system-release",
    "etc/redhat-release",
    "usr/lib/redhat-release",
    "etc/SuSE-release",
];

const OTHERS: [&str; 6] = [
    "etc/alpine-release",
    "etc/apk/repositories",
    "etc/debian_version",
    "etc/lsb-release",
    "etc/system-release-cpe",
    "var/lib/ubuntu-advantage/status.json",
];

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "os-release",
    scope: Scope::Both,
    required: |info| {
        OS_RELEASE.contains(&info.path)
            || RELEASE_LINES.contains(&info.path)
            || OTHERS.contains(&info.path)
            || info.path.starts_with("usr/lib/os.release.d/os-release-")
    },
    parse: Parse::Document(|_, bytes, found| {
        found.text = Some(text(bytes.get(..KEPT_BYTES.min(bytes.len())).unwrap_or_default()));
        Ok(())
    }),
};
