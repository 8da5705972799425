//! Packages as package URLs and back, for documents: total where [`crate::Purl`] is not.

use crate::{Distro, Package, Purl};

/// The package URL of a package; distribution packages name their distribution. One without a name is
/// `pkg:generic/unknown`, so that every component of a document has an identity.
pub(crate) fn purl(package: &Package, distro: Option<&Distro>) -> String {
    Purl::of_package(package, distro)
        .map_or_else(|| "pkg:generic/unknown".to_owned(), |purl| purl.to_string())
}

/// What a package URL says: the package, and the distribution that it names.
pub(crate) fn parse(text: &str) -> Option<(Package, Option<Distro>)> {
    let purl = Purl::parse(text).ok()?;
    Some((purl.to_package(), purl.distro()))
}
