//! Terraform's `.terraform.lock.hcl`: providers.

use super::text::{between, text};
use super::{Extractor, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const EXTRACTOR: Extractor = Extractor {
    name: "terraform-lock",
    scope: Scope::Directory,
    required: |info| info.name == ".terraform.lock.hcl",
    parse: Parse::Document(|_, bytes, found| {
        let mut provider = String::new();
        for line in text(bytes).lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("provider ") {
                between(rest, "\"", "\"").unwrap_or("").clone_into(&mut provider);
            } else if line.split_once('=').is_some_and(|(key, _)| key.trim() == "version") {
                found.package(Package::scoped(
                    PackageKind::Terraform,
                    &provider,
                    between(line, "\"", "\"").unwrap_or(""),
                ));
            }
        }
        Ok(())
    }),
};
