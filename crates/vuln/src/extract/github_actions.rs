//! GitHub workflows and composite actions: what `uses:` names.

use super::text::text;
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "github-actions",
    scope: Scope::Directory,
    required: |info| {
        let is_yaml = info.has_suffix(".yml") || info.has_suffix(".yaml");
        is_yaml
            && ((info.parent() == "workflows" && info.below(".github"))
                || matches!(info.name, "action.yml" | "action.yaml"))
    },
    parse: Parse::Document(|_, bytes, found| {
        for line in text(bytes).lines() {
            let line = line.trim().trim_start_matches("- ").trim_start();
            let Some(value) = line.strip_prefix("uses:") else { continue };
            let value = value.split(" #").next().unwrap_or(value).trim().trim_matches(['"', '\'']);
            if value.starts_with(['.', '/']) || value.contains("://") {
                continue;
            }
            if let Some((name, reference)) = value.split_once('@').filter(|(name, _)| name.contains('/')) {
                found.package(Package::scoped(PackageKind::Github, name, reference));
            }
        }
        Ok(())
    }),
};
