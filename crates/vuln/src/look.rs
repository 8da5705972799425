//! What is looked at in files while packages are catalogued: secrets, configuration, hashes of malware.
//!
//! Every layer has a [`Look`] of its own, so that layers run in parallel and what was seen in one is kept and used again
//! ([`Seen`] is a value, like [`crate::LayerResult`]). [`combine`] puts the layers of an image together: what a later
//! layer deletes is reported too, and marked.

use std::collections::HashMap;

use oci::{Algorithm, Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::helm::{self, Charts};
use crate::misconfig::{self, files};
use crate::report::MalwareFinding;
use crate::secrets::{MAX_BYTES, SecretFinding, SecretRules};
use crate::{FileVisitor, LayerResult, Problem};

/// Files whose content is configuration that rules know, by name or extension.
const CONFIGURATION: &[&str] = &[".tf", ".yaml", ".yml", ".json", ".dockerfile"];
/// Largest file that is configuration.
const MAX_CONFIGURATION_BYTES: u64 = 4 << 20;

/// SHA-256 digests of malware and their names.
pub struct MalwareList(HashMap<Digest, String>);

/// A line of a malware list that is none.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the malware list has no SHA-256 digest")]
pub struct MalwareListError {
    /// The line, from 1.
    pub line: usize,
}

impl MalwareList {
    /// Lines of `SHA256 NAME`; empty lines and lines with `#` first are comments.
    ///
    /// # Errors
    /// A line that does not begin with a digest.
    pub fn parse(text: &str) -> Result<Self, MalwareListError> {
        let mut out = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (hex, name) = line.split_once(char::is_whitespace).unwrap_or((line, "listed file"));
            let digest = format!("sha256:{}", hex.trim_start_matches("sha256:").to_lowercase());
            let digest = digest.parse().map_err(|_| MalwareListError { line: number + 1 })?;
            out.insert(digest, name.trim().to_owned());
        }
        Ok(Self(out))
    }
}

/// What to look for beside packages.
#[derive(Clone, Copy, Default)]
pub struct Interest<'a> {
    /// Secrets, by these rules.
    pub secrets: Option<&'a SecretRules>,
    /// Misconfiguration.
    pub misconfig: bool,
    /// Files of this list.
    pub malware: Option<&'a MalwareList>,
}

/// What was seen in one layer, independent of all other layers; or, after [`combine`], in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretFinding>,
    /// Misconfiguration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misconfigurations: Vec<misconfig::Finding>,
    /// Malware.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub malware: Vec<MalwareFinding>,
    /// Files of charts, which are judged together.
    #[serde(default, skip_serializing_if = "Charts::is_empty")]
    charts: Charts,
    /// What could not be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// Everything that was seen in an image: `seen` of each of `layers`, lowest first, with the layers' digests and what later
/// layers hide.
pub fn combine(layers: &[LayerResult], seen: Vec<Seen>) -> Seen {
    let mut out = Seen::default();
    for (layer, part) in seen.into_iter().enumerate() {
        let digest = layers.get(layer).and_then(|result| result.diff_id);
        let hidden = |path: &str| layers.iter().skip(layer + 1).any(|later| later.hides(path));
        out.secrets.extend(part.secrets.into_iter().map(|finding| SecretFinding {
            deleted: hidden(&finding.path),
            layer: digest,
            ..finding
        }));
        // Configuration that a later layer replaces has no effect any more, nor has the mode of a directory.
        let restated = |path: &str| layers.iter().skip(layer + 1).any(|later| later.states_directory(path));
        out.misconfigurations.extend(
            part.misconfigurations
                .into_iter()
                .filter(|finding| !hidden(&finding.path) && !restated(&finding.path)),
        );
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

/// Looks at the files of one layer.
pub struct Look<'a> {
    interest: Interest<'a>,
    seen: Seen,
    file: Option<Watched>,
}

/// The file whose pieces come.
struct Watched {
    path: String,
    /// Its beginning, if somebody reads it.
    head: Option<Vec<u8>>,
    hasher: Option<Hasher>,
}

impl<'a> Look<'a> {
    /// A look at a layer.
    pub fn new(interest: Interest<'a>) -> Self {
        Self { interest, seen: Seen::default(), file: None }
    }

    /// What was seen.
    pub fn finish(self) -> Seen {
        self.seen
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

impl Look<'_> {
    fn reads(&self, path: &str, size_bytes: u64) -> bool {
        self.interest.secrets.is_some_and(|rules| rules.wants(path, size_bytes))
            || (self.interest.misconfig && (is_configuration(path, size_bytes) || is_chart(path, size_bytes)))
    }

    fn mode(&mut self, facts: &files::FileFacts<'_>) {
        if self.interest.misconfig {
            self.seen.misconfigurations.extend(files::check_mode(facts));
        }
    }

    /// Judges the beginning of a file.
    fn read(&mut self, path: &str, head: &[u8]) {
        if let Some(rules) = self.interest.secrets.filter(|rules| rules.wants(path, head.len() as u64)) {
            self.seen.secrets.extend(rules.scan(path, head));
        }
        if self.interest.misconfig && is_chart(path, head.len() as u64) {
            self.seen.charts.take(path, head);
        }
        if self.interest.misconfig && is_configuration(path, head.len() as u64) {
            self.seen.misconfigurations.extend(misconfig::check_file(path, head).into_iter().flatten());
            if let Ok(text) = std::str::from_utf8(head) {
                self.seen.misconfigurations.extend(files::check_content(path, text));
            }
        }
    }
}

impl FileVisitor for Look<'_> {
    fn directory(&mut self, path: &str, mode: u32) {
        self.mode(&files::FileFacts { path, mode, directory: true });
    }

    fn wants(&mut self, path: &str, size_bytes: u64, mode: u32) -> bool {
        self.mode(&files::FileFacts { path, mode, directory: false });
        let (reads, hashes) = (self.reads(path, size_bytes), self.interest.malware.is_some());
        self.file = (reads || hashes).then(|| Watched {
            path: path.to_owned(),
            head: reads.then(Vec::new),
            hasher: hashes.then(|| Hasher::new(Algorithm::Sha256)),
        });
        self.file.is_some()
    }

    fn piece(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        if let Some(head) = &mut file.head {
            let room = MAX_BYTES.saturating_sub(head.len());
            head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        if let Some(hasher) = &mut file.hasher {
            hasher.update(bytes);
        }
    }

    fn end(&mut self) {
        let Some(Watched { path, head, hasher }) = self.file.take() else { return };
        if let Some(head) = head {
            self.read(&path, &head);
        }
        let Some((list, hasher)) = self.interest.malware.zip(hasher) else { return };
        let digest = hasher.finish();
        if let Some(name) = list.0.get(&digest) {
            let (name, suppressed) = (name.clone(), Vec::new());
            self.seen.malware.push(MalwareFinding { path, digest, name, layer: None, suppressed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malware_list_has_a_digest_on_every_line() {
        let hex = Digest::sha256(b"x").hex();
        let text = format!("# names\n\n{hex}  Evil.Tool \nsha256:{}\n", hex.to_uppercase());
        let list = MalwareList::parse(&text).expect("a list");
        assert_eq!(
            list.0.get(&Digest::sha256(b"x")).map(String::as_str),
            Some("listed file"),
            "the last counts"
        );
        assert_eq!(MalwareList::parse(&format!("{hex} a\n{hex}\nabc b\n")).err().map(|e| e.line), Some(3));
    }
}
