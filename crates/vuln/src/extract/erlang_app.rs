//! Erlang/OTP applications: `NAME.app`, one Erlang term.

use super::text::{between, text};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "erlang-app",
    scope: Scope::Both,
    required: |info| info.has_suffix(".app") && info.size_bytes < 1 << 20,
    parse: Parse::Document(|_, bytes, found| {
        let text = text(bytes);
        let compact: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('%'))
            .flat_map(|line| [line, " "])
            .collect();
        if !compact.trim_start().starts_with('{') {
            return Ok(());
        }
        let name = between(&compact, "application,", ",").map_or("", |name| name.trim().trim_matches('\''));
        let version =
            compact.split_once("{vsn").and_then(|(_, rest)| between(rest, "\"", "\"")).unwrap_or("");
        // Templates state `git` or a macro.
        if version.starts_with(|c: char| c.is_ascii_digit()) {
            let mut package = Package::new(PackageKind::Otp, name, version);
            let licenses =
                compact.split_once("{licenses").and_then(|(_, rest)| between(rest, "[", "]")).unwrap_or("");
            package.licenses = licenses.split('"').skip(1).step_by(2).map(str::to_owned).collect();
            found.package(package);
        }
        Ok(())
    }),
};
