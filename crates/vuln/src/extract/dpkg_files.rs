//! Which files a Debian package owns: `info/PACKAGE[:ARCH].list` and `.md5sums`, distroless' `status.d/*.md5sums`.
//!
//! Kept per package because the lists stay in the layer that installed the package while `status` is rewritten above.

use super::text::text;
use super::{Extractor, Found, Parse, Scope, dpkg};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "dpkg-files",
    scope: Scope::Both,
    required: |info| {
        let listed = info.has_suffix(".md5sums") || info.has_suffix(".list");
        listed && (info.path.contains("lib/dpkg/info/") || dpkg::in_status_d(info))
    },
    parse: Parse::Document(|info, bytes, found| {
        let stem = info.name.rsplit_once('.').map_or(info.name, |(stem, _)| stem);
        let package = stem.split(':').next().unwrap_or(stem);
        parse(package, &text(bytes), info.has_suffix(".md5sums"), found);
        Ok(())
    }),
};

fn parse(package: &str, list: &str, with_sums: bool, found: &mut Found) {
    let paths = list.lines().filter_map(|line| {
        let line = line.trim_end_matches('\r');
        if with_sums {
            line.split_once(' ').map(|(_, path)| path.trim_start_matches([' ', '*']))
        } else {
            Some(line)
        }
    });
    found.own(package, paths.filter(|path| !path.is_empty() && *path != "/."));
}
