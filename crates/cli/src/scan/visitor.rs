//! What is looked at in files while packages are catalogued: secrets, configuration, hashes of malware.
//!
//! Every layer has a visitor of its own, so that layers run in parallel; what a later layer deletes is reported too, and
//! marked.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use oci::{Algorithm, Digest, Hasher};
use vuln::helm::{self, Charts};
use vuln::misconfig::{self, files};
use vuln::report::MalwareFinding;
use vuln::secrets::{MAX_BYTES, SecretFinding, SecretRules};
use vuln::{FileVisitor, LayerResult, Problem};

use crate::source::Visitors;

/// Files whose content is configuration that rules know, by name or extension.
const CONFIGURATION: &[&str] = &[".tf", ".yaml", ".yml", ".json", ".dockerfile"];
/// Largest file that is configuration.
const MAX_CONFIGURATION_BYTES: u64 = 4 << 20;

/// SHA-256 digests of malware and their names.
pub(super) struct MalwareList(HashMap<Digest, String>);

impl MalwareList {
    /// Lines of `SHA256 NAME`; empty lines and lines with `#` first are comments.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut out = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (hex, name) = line.split_once(char::is_whitespace).unwrap_or((line, "listed file"));
            let digest = format!("sha256:{}", hex.trim_start_matches("sha256:").to_lowercase());
            let digest: Digest =
                digest.parse().with_context(|| format!("line {} of the malware list", number + 1))?;
            out.insert(digest, name.trim().to_owned());
        }
        Ok(Self(out))
    }
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub secrets: Vec<SecretFinding>,
    pub misconfigurations: Vec<misconfig::Finding>,
    pub malware: Vec<MalwareFinding>,
    charts: Charts,
    pub problems: Vec<Problem>,
}

/// What to look for, and what the layers' visitors have found so far.
pub(super) struct Looking<'a> {
    secrets: Option<&'a SecretRules>,
    misconfig: bool,
    malware: Option<&'a MalwareList>,
    seen: Mutex<Vec<(usize, Seen)>>,
}

impl<'a> Looking<'a> {
    pub(super) fn new(
        secrets: Option<&'a SecretRules>,
        misconfig: bool,
        malware: Option<&'a MalwareList>,
    ) -> Self {
        Self { secrets, misconfig, malware, seen: Mutex::new(Vec::new()) }
    }

    /// Everything, in the order of the layers, with the layers' digests and what later layers hide.
    pub(super) fn finish(self, layers: &[LayerResult]) -> Seen {
        let mut parts = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        parts.sort_by_key(|(layer, _)| *layer);
        let mut out = Seen::default();
        for (layer, part) in parts {
            let digest = layers.get(layer).and_then(|result| result.diff_id);
            let hidden = |path: &str| layers.iter().skip(layer + 1).any(|later| later.hides(path));
            out.secrets.extend(part.secrets.into_iter().map(|finding| SecretFinding {
                deleted: hidden(&finding.path),
                layer: digest,
                ..finding
            }));
            // Configuration that a later layer replaces has no effect any more.
            out.misconfigurations
                .extend(part.misconfigurations.into_iter().filter(|finding| !hidden(&finding.path)));
            out.malware
                .extend(part.malware.into_iter().map(|finding| MalwareFinding { layer: digest, ..finding }));
            out.problems.extend(part.problems);
            let mut charts = part.charts;
            charts.retain(|path| !hidden(path));
            out.charts.append(charts);
        }
        render(&mut out);
        out.secrets.sort();
        out.secrets.dedup();
        out.misconfigurations.sort();
        out.malware.sort();
        out
    }
}

/// Charts are judged by what they deploy instead of by how their templates are written.
fn render(seen: &mut Seen) {
    let rendered = std::mem::take(&mut seen.charts).render();
    seen.misconfigurations.retain(|finding| !rendered.documents.contains_key(&finding.path));
    seen.misconfigurations.extend(misconfig::charts::check(&rendered));
    seen.problems.extend(rendered.failed.into_iter().map(|(path, why)| Problem {
        source: "helm".to_owned(),
        path,
        message: format!("the template cannot be rendered with the chart's own values: {why}"),
    }));
}

impl Visitors for Looking<'_> {
    fn visitor(&self, layer: usize) -> Box<dyn FileVisitor + '_> {
        Box::new(Layer { looking: self, position: layer, seen: Seen::default() })
    }
}

struct Layer<'a> {
    looking: &'a Looking<'a>,
    position: usize,
    seen: Seen,
}

impl Drop for Layer<'_> {
    fn drop(&mut self) {
        let mut all = self.looking.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((self.position, std::mem::take(&mut self.seen)));
    }
}

fn is_configuration(path: &str, size_bytes: u64) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let known = CONFIGURATION.iter().any(|ending| name.ends_with(ending))
        || name.starts_with("dockerfile")
        || name == "containerfile"
        || matches!(path, "etc/shadow" | "etc/passwd");
    known
        && size_bytes <= MAX_CONFIGURATION_BYTES
        && !path.contains("node_modules/")
        && !path.starts_with("usr/")
}

fn is_chart(path: &str, size_bytes: u64) -> bool {
    helm::wants(path, size_bytes) && !path.contains("node_modules/") && !path.starts_with("usr/")
}

impl FileVisitor for Layer<'_> {
    fn wants(&mut self, path: &str, size_bytes: u64, mode: u32) -> bool {
        if self.looking.misconfig {
            let facts = files::FileFacts { path, mode, directory: false };
            self.seen.misconfigurations.extend(files::check_mode(&facts));
        }
        self.looking.malware.is_some()
            || self.looking.secrets.is_some_and(|rules| rules.wants(path, size_bytes))
            || (self.looking.misconfig && (is_configuration(path, size_bytes) || is_chart(path, size_bytes)))
    }

    fn visit(&mut self, path: &str, content: &mut dyn Read) -> io::Result<()> {
        let mut head = Vec::new();
        content.take(MAX_BYTES as u64).read_to_end(&mut head)?;
        if let Some(rules) = self.looking.secrets.filter(|rules| rules.wants(path, head.len() as u64)) {
            self.seen.secrets.extend(rules.scan(path, &head));
        }
        if self.looking.misconfig && is_chart(path, head.len() as u64) {
            self.seen.charts.take(path, &head);
        }
        if self.looking.misconfig && is_configuration(path, head.len() as u64) {
            self.seen.misconfigurations.extend(misconfig::check_file(path, &head).into_iter().flatten());
            if let Ok(text) = std::str::from_utf8(&head) {
                self.seen.misconfigurations.extend(files::check_content(path, text));
            }
        }
        if let Some(list) = self.looking.malware {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(&head);
            let mut buffer = vec![0_u8; 64 << 10];
            loop {
                let read = content.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                hasher.update(&buffer[..read]);
            }
            let digest = hasher.finish();
            if let Some(name) = list.0.get(&digest) {
                let finding =
                    MalwareFinding { path: path.to_owned(), digest, name: name.clone(), layer: None };
                self.seen.malware.push(finding);
            }
        }
        Ok(())
    }
}
