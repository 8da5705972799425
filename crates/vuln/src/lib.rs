//! What is inside an artifact and what is wrong with it: packages, extractors over `Read`, version orders,
//! advisories, matching, SBOM documents, licences, secrets and misconfiguration.
//!
//! Pure: no runtime, network, clock or file system (the one exception: rpm's SQLite file is read from bytes).

pub mod advisory;
pub mod db;
pub mod eol;
pub mod extract;
pub mod helm;
pub mod image;
pub mod layer;
pub mod license;
pub mod limits;
pub mod look;
pub mod matching;
pub mod merge;
pub mod misconfig;
pub mod package;
pub mod purl;
pub mod report;
pub mod sbom;
pub mod secrets;
pub mod severity;
pub mod vers;
pub mod version;

mod zipstream;

pub use layer::{FileVisitor, LayerResult, LayerSource, Mode, catalogue_layer, catalogue_layer_with};
pub use limits::{Limit, Limits, Pulse, ScanError, Watch};
pub use merge::merge;
pub use package::{Distro, Evidence, Inventory, Package, PackageKind, Problem, SourcePackage};
pub use purl::Purl;
pub use severity::{CvssScore, Severity};
pub use vers::Vers;
