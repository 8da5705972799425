//! Composer: `composer.lock` (what is resolved) and `vendor/composer/installed.json` (what is installed, version 1 a
//! list, version 2 an object).

use serde_json::Value;

use super::text::{json, str_of};
use super::{Extractor, Found, Parse, Scope};
use crate::package::{Package, PackageKind};

pub(super) const INSTALLED: Extractor = Extractor {
    name: "php-installed",
    scope: Scope::Both,
    required: |info| info.name == "installed.json",
    parse: Parse::Document(|_, bytes, found| {
        parse(&json(bytes)?, found);
        Ok(())
    }),
};

pub(super) const LOCK: Extractor = Extractor {
    name: "composer-lock",
    scope: Scope::Directory,
    required: |info| info.name == "composer.lock",
    parse: Parse::Document(|_, bytes, found| {
        parse(&json(bytes)?, found);
        Ok(())
    }),
};

fn parse(document: &Value, found: &mut Found) {
    let dev: Vec<&str> = document
        .get("dev-package-names")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut add = |entry: &Value, scope: &str| {
        let name = str_of(entry, "name");
        let mut package = Package::scoped(PackageKind::Composer, name, str_of(entry, "version"));
        package.licenses = super::npm_package::licenses(entry);
        let needs = entry.get("require").and_then(Value::as_object);
        package.depends_on = needs
            .map(|needs| needs.keys().filter(|name| name.contains('/')).cloned().collect())
            .unwrap_or_default();
        if scope == "dev" || dev.contains(&name) {
            package.properties.insert("scope".to_owned(), "dev".to_owned());
        }
        found.package(package);
    };
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    list(Some(document)).iter().chain(&list(document.get("packages"))).for_each(|entry| add(entry, ""));
    for entry in &list(document.get("packages-dev")) {
        add(entry, "dev");
    }
}
