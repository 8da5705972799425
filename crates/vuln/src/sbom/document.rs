//! A software bill of materials, whatever form it is written in.
//!
//! `Document` is what the four written forms carry and what every read form becomes: what is described, when and by
//! whom, and the inventory. Writing is a function of it alone, so the same document gives the same bytes.

use jiff::Timestamp;
use oci::Digest;
use sha2::{Digest as _, Sha256};

use crate::purl::{Purl, PurlParts};
use crate::{Inventory, Package};

/// What kind of thing a document describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectKind {
    /// A container image.
    #[default]
    Container,
    /// A directory, archive or single file.
    File,
    /// An application or library, as foreign documents state.
    Application,
}

/// The thing that a document describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Repository name, directory name or the name that a foreign document gives.
    pub name: String,
    /// Tag or version, if any.
    pub version: Option<String>,
    /// Manifest digest, for an image.
    pub digest: Option<Digest>,
}

impl Subject {
    /// `pkg:oci/…@sha256:…` for an image whose digest is known (purl type `oci`).
    pub fn purl(&self) -> Option<String> {
        let digest = self.digest?;
        if self.kind != SubjectKind::Container || self.name.is_empty() {
            return None;
        }
        let last = self.name.rsplit('/').next().unwrap_or(&self.name).to_lowercase();
        let mut parts = PurlParts::new("oci", &last, &digest.to_string());
        if self.name.contains('/') {
            parts = parts.qualifier("repository_url", &self.name);
        }
        if let Some(tag) = &self.version {
            parts = parts.qualifier("tag", tag);
        }
        Purl::build_lenient(parts).ok().map(|purl| purl.to_string())
    }
}

/// A bill of materials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// What is described.
    pub subject: Subject,
    /// When it was made; injected, so that the same image gives the same bytes.
    pub created: Option<Timestamp>,
    /// Tools as `name-version`.
    pub tools: Vec<String>,
    /// People and organisations that wrote it.
    pub authors: Vec<String>,
    /// The contents.
    pub inventory: Inventory,
}

impl Document {
    /// The document that this program makes of a subject.
    pub fn new(subject: Subject, created: Option<Timestamp>, inventory: Inventory) -> Self {
        Self {
            subject,
            created,
            tools: vec![format!("bonded-{}", env!("CARGO_PKG_VERSION"))],
            authors: Vec::new(),
            inventory,
        }
    }

    /// RFC 3339 seconds in UTC; the Unix epoch when the time is unknown.
    pub(crate) fn created_text(&self) -> String {
        let at = self.created.unwrap_or(Timestamp::UNIX_EPOCH);
        at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// An RFC 9562 version 8 UUID over subject, time and contents: the same document has the same serial number.
    pub(crate) fn uuid(&self) -> String {
        let mut hash = Sha256::new();
        let digest = self.subject.digest.map(|digest| digest.to_string()).unwrap_or_default();
        let version = self.subject.version.as_deref().unwrap_or_default();
        for part in [self.subject.name.as_str(), version, &digest, &self.created_text()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(serde_json::to_vec(&self.inventory).unwrap_or_default());
        let raw: [u8; 32] = hash.finalize().into();
        let mut id = [0_u8; 16];
        id.copy_from_slice(&raw[..16]);
        id[6] = (id[6] & 0x0f) | 0x80;
        id[8] = (id[8] & 0x3f) | 0x80;
        let hex = data_encoding::HEXLOWER.encode(&id);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// References and edges between the packages of one inventory, in its order.
pub(crate) struct Graph {
    /// Unique reference of each package.
    pub refs: Vec<String>,
    /// For each package the positions of those that it depends on, sorted.
    pub edges: Vec<Vec<usize>>,
}

impl Graph {
    /// Resolves the stated dependency names within the same packaging system; a name with several versions means all
    /// of them, since package records do not say which.
    pub(crate) fn of(inventory: &Inventory) -> Self {
        let distro = inventory.distro.as_ref();
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        let mut names = std::collections::HashMap::<(crate::PackageKind, String), Vec<usize>>::new();
        let mut refs = Vec::with_capacity(inventory.packages.len());
        for (position, package) in inventory.packages.iter().enumerate() {
            let purl = super::identity::purl(package, distro);
            let times = seen.entry(purl.clone()).or_insert(0);
            *times += 1;
            refs.push(if *times == 1 { purl } else { format!("{purl}#{times}") });
            for name in [Some(package.name.clone()), full_name(package)].into_iter().flatten() {
                let list = names.entry((package.kind, name)).or_default();
                if list.last() != Some(&position) {
                    list.push(position);
                }
            }
        }
        let mut edges = Vec::with_capacity(refs.len());
        for (position, package) in inventory.packages.iter().enumerate() {
            let mut found = Vec::new();
            for name in &package.depends_on {
                if let Some(targets) = names.get(&(package.kind, name.clone())) {
                    found.extend(targets.iter().copied().filter(|target| *target != position));
                }
            }
            found.sort_unstable();
            found.dedup();
            edges.push(found);
        }
        Self { refs, edges }
    }

    /// Packages that the subject itself must reach: those that nothing depends on, and one of each closed circle.
    pub(crate) fn roots(&self) -> Vec<usize> {
        let mut incoming = vec![false; self.refs.len()];
        for target in self.edges.iter().flatten() {
            incoming[*target] = true;
        }
        let mut roots: Vec<usize> = (0..self.refs.len()).filter(|node| !incoming[*node]).collect();
        let mut reached = vec![false; self.refs.len()];
        let mut todo = roots.clone();
        let mut next = 0;
        loop {
            while let Some(node) = todo.pop() {
                if !std::mem::replace(&mut reached[node], true) {
                    todo.extend(&self.edges[node]);
                }
            }
            while next < reached.len() && reached[next] {
                next += 1;
            }
            if next == reached.len() {
                break;
            }
            roots.push(next);
            todo.push(next);
        }
        roots.sort_unstable();
        roots
    }
}

/// `group:artifact` of Maven and `@scope/name` of npm: the spelling that dependency lists use.
fn full_name(package: &Package) -> Option<String> {
    let namespace = package.namespace.as_ref()?;
    Some(match package.kind {
        crate::PackageKind::Maven => format!("{namespace}:{}", package.name),
        crate::PackageKind::Npm => format!("@{namespace}/{}", package.name),
        _ => format!("{namespace}/{}", package.name),
    })
}
