//! What `bonded sbom` and `bonded scan` are given: an image of a registry or of files, an archive, a directory, or an
//! SBOM; recognised by content.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use vuln::image::{Choice, Image};
use vuln::sbom::{self, Document, Strictness, Subject, SubjectKind};
use vuln::{LayerResult, Limits};

use upstream::{ImageReference, Registry};

use crate::network::{self, NetworkArgs};
use crate::source::{self, Catalogued, Remote, Visitors};
use crate::{clock, output};

/// How a source is read.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct InputArgs {
    /// Platform to read of an image for several, as os/arch[/variant] [default: this machine's].
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Image to read of a source with several: its tag or digest.
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// Name to give the source in results [default: its own].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Take what can be understood of an SBOM that breaks the rules of its format.
    #[arg(long)]
    pub lenient: bool,
    /// Longest time to read a source, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
    /// Time to state in results, in seconds since 1970 [default: the image's own, else now].
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH")]
    pub created: Option<i64>,
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// A source that was read.
#[derive(Debug)]
pub(crate) struct Input {
    /// Subject and contents.
    pub document: Document,
    /// Configuration of the image, if the source is one.
    pub config: Option<Value>,
    /// What the layers state, lowest first; empty for an SBOM.
    pub layers: Vec<LayerResult>,
    /// What was passed over.
    pub notes: Vec<String>,
    /// Whether it was an SBOM.
    pub is_sbom: bool,
}

/// Reads a source.
pub(crate) fn load(source: &str, args: &InputArgs, visitors: Option<&dyn Visitors>) -> anyhow::Result<Input> {
    let (scheme, path) = match source.split_once(':') {
        Some((
            scheme @ ("oci" | "oci-archive" | "docker-archive" | "dir" | "file" | "sbom" | "registry"
            | "docker"),
            rest,
        )) => (scheme, rest),
        _ => ("", source),
    };
    let is_image = matches!(scheme, "registry" | "docker");
    let path = Path::new(path);
    if is_image || scheme.is_empty() && !path.exists() && ImageReference::names_host(source) {
        let reference = if is_image { path.to_string_lossy() } else { source.into() };
        return from_registry(reference.trim_start_matches('/'), args, visitors);
    }
    if !path.exists() {
        bail!(
            "{}: no such file or directory; give an OCI layout, an image archive (`docker save`), a directory, an SBOM, \
             or an image of a registry as HOST/NAME:TAG or registry:NAME:TAG",
            path.display()
        );
    }
    if scheme == "sbom" || (scheme.is_empty() && path.is_file() && looks_like_text(path)?) {
        return read_sbom(path, args);
    }
    let watch = clock::deadline(Duration::from_secs(args.timeout));
    let (choice, limits) = (choice(args), Limits::default());
    let catalogued = match visitors {
        Some(visitors) => source::catalogue_with(path, &choice, &limits, &watch, visitors)?,
        None => source::catalogue(path, &choice, &limits, &watch)?,
    };
    describe(path, args, catalogued)
}

/// Reads an image of a registry.
fn from_registry(text: &str, args: &InputArgs, visitors: Option<&dyn Visitors>) -> anyhow::Result<Input> {
    let reference: ImageReference = text.parse()?;
    let credentials = args.network.keychain()?.of(&reference).cloned();
    output::progress(&format!("fetching {reference}"));
    let registry = Registry::new(args.network.client()?, reference, credentials);
    let allowed = Duration::from_secs(args.timeout);
    let watch = clock::deadline(allowed);
    let remote = Remote::open(network::runtime()?, registry, allowed)?;
    let (choice, limits) = (choice(args), Limits::default());
    let catalogued = source::catalogue_remote(&remote, &choice, &limits, &watch, visitors)
        .with_context(|| format!("{text} could not be catalogued"))?;
    describe(Path::new(text), args, catalogued)
}

fn choice(args: &InputArgs) -> Choice {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Choice {
        platform: args.platform.clone(),
        default_platform: Some(format!("linux/{architecture}")),
        reference: args.image.clone(),
    }
}

/// Archives begin with a header that is no text; SBOMs with `{`, `<` or a tag.
fn looks_like_text(path: &Path) -> anyhow::Result<bool> {
    let mut start = [0_u8; 512];
    let mut file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let read = file.read(&mut start)?;
    let start = start[..read].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start[..read]);
    Ok(!start.is_empty()
        && !start.contains(&0)
        && std::str::from_utf8(start).map_or_else(|e| e.valid_up_to() + 4 > read, |_| true))
}

/// Reads an SBOM file.
pub(crate) fn read_sbom(path: &Path, args: &InputArgs) -> anyhow::Result<Input> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let strictness = if args.lenient { Strictness::Lenient } else { Strictness::Strict };
    let reading = sbom::read(&bytes, strictness, &sbom::Limits::default()).map_err(|error| {
        let hint = match error {
            sbom::ReadError::Invalid { .. } => "; `--lenient` takes what can be understood",
            _ => "",
        };
        anyhow::anyhow!("{}: {error}{hint}", path.display())
    })?;
    let mut document = reading.document;
    if let Some(name) = &args.name {
        document.subject.name.clone_from(name);
    }
    Ok(Input { document, config: None, layers: Vec::new(), notes: reading.notes, is_sbom: true })
}

fn describe(path: &Path, args: &InputArgs, catalogued: Catalogued) -> anyhow::Result<Input> {
    let Catalogued { inventory, image, layers } = catalogued;
    let own_name = || {
        let absolute = path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
        absolute.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let config: Option<Value> = image.as_ref().and_then(|image| serde_json::from_slice(&image.config).ok());
    let (name, version) = match (&args.name, image.as_ref().and_then(|image| image.names.first())) {
        (Some(name), _) => (name.clone(), None),
        (None, Some(full)) => split_reference(full, &own_name()),
        (None, None) => (own_name(), None),
    };
    let kind = if image.is_some() { SubjectKind::Container } else { SubjectKind::File };
    let digest = image.as_ref().and_then(|image: &Image| image.manifest_digest);
    let stated =
        config.as_ref().and_then(|config| config.get("created")?.as_str()?.parse::<Timestamp>().ok());
    let created = match args.created {
        Some(seconds) => Some(Timestamp::from_second(seconds).context("--created is out of range")?),
        None => stated.or_else(|| Some(clock::now())),
    };
    let subject = Subject { kind, name, version, digest };
    Ok(Input {
        document: Document::new(subject, created, inventory),
        config,
        layers,
        notes: Vec::new(),
        is_sbom: false,
    })
}

/// `registry/name:tag` as name and tag; an OCI layout knows only the tag.
fn split_reference(full: &str, fallback: &str) -> (String, Option<String>) {
    let full = full.split('@').next().unwrap_or(full);
    match full.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name.to_owned(), Some(tag.to_owned())),
        _ if full.contains('/') => (full.to_owned(), None),
        _ => (fallback.to_owned(), Some(full.to_owned())),
    }
}
