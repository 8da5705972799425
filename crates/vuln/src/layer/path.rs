//! Paths inside a layer.
//!
//! A layer is never written anywhere, so a hostile path cannot escape; it must still mean what the runtime makes of it:
//! absolute paths and `..` are clamped at the root, as containerd does.

/// The path relative to the root without `.`, `..`, doubled or trailing slashes; empty for the root itself.
pub(crate) fn normalise(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Target of a symbolic link at `link`, relative to the root.
pub(crate) fn resolve_link(link: &str, target: &str) -> String {
    if target.starts_with('/') {
        return normalise(target);
    }
    let parent = link.rsplit_once('/').map_or("", |(parent, _)| parent);
    normalise(&format!("{parent}/{target}"))
}

/// A 64-bit fingerprint (FNV-1a, finalised) of a path. Layers keep fingerprints instead of millions of paths; it is
/// stable because it is stored.
pub(crate) fn fingerprint(path: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in path.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// A fingerprint that is equal for `/lib/x` and `/usr/lib/x`: distributions moved these directories and package
/// databases still list files by either name.
pub(crate) fn owned_fingerprint(path: &str) -> u64 {
    let path = path.trim_start_matches('/').trim_start_matches("./");
    let merged = path
        .strip_prefix("usr/")
        .filter(|rest| ["lib/", "lib64/", "lib32/", "bin/", "sbin/"].iter().any(|dir| rest.starts_with(dir)));
    fingerprint(merged.unwrap_or(path))
}

/// Every proper ancestor directory of a path, nearest first.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let (parent, _) = rest.rsplit_once('/')?;
        rest = parent;
        Some(parent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_clamped_at_the_root() {
        assert_eq!(normalise("../../etc/shadow"), "etc/shadow");
        assert_eq!(normalise("/a//./b/../c/"), "a/c");
        assert_eq!(normalise("./"), "");
        assert_eq!(resolve_link("usr/bin/x", "../../../../etc/y"), "etc/y");
        assert_eq!(resolve_link("usr/bin/x", "/etc/y"), "etc/y");
    }

    #[test]
    fn merged_usr_paths_have_one_fingerprint() {
        assert_eq!(owned_fingerprint("/lib/a"), owned_fingerprint("usr/lib/a"));
        assert_ne!(owned_fingerprint("/usr/share/a"), owned_fingerprint("share/a"));
    }
}
