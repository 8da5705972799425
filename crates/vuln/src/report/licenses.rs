//! Licences of packages that ask for a decision.

use serde::{Deserialize, Serialize};

use crate::license::{Class, class, normalize};
use crate::matching::Suppression;
use crate::{Inventory, PackageKind, Severity};

/// A package whose licence asks for more than a notice, or is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LicenseFinding {
    /// Packaging system.
    pub kind: PackageKind,
    /// Package.
    pub package: String,
    /// Version.
    pub version: String,
    /// The expression, or the text that is none.
    pub license: String,
    /// Class of the expression.
    pub class: Class,
    /// Severity that the class stands for.
    pub severity: Severity,
    /// File that states the package.
    pub path: String,
    /// Why it does not count; empty: it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppression>,
}

/// The licences of an inventory that ask for a decision, sorted. Packages that state none are not listed: the SBOM's
/// score counts them.
pub fn license_findings(inventory: &Inventory) -> Vec<LicenseFinding> {
    let mut out = Vec::new();
    for package in &inventory.packages {
        for text in &package.licenses {
            let license = normalize(text).unwrap_or_else(|| text.clone());
            let found = class(&license);
            let severity = match found {
                Class::Forbidden => Severity::Critical,
                Class::Restricted => Severity::High,
                Class::Reciprocal => Severity::Medium,
                Class::Unknown => Severity::Unknown,
                Class::Notice | Class::Permissive | Class::Unencumbered => continue,
            };
            out.push(LicenseFinding {
                kind: package.kind,
                package: package.name.clone(),
                version: package.version.clone(),
                license,
                class: found,
                severity,
                path: package.evidence.first().map(|evidence| evidence.path.clone()).unwrap_or_default(),
                suppressed: Vec::new(),
            });
        }
    }
    out.sort();
    out.dedup();
    out
}
