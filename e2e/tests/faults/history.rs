//! What clients were told, and whether it is still true.
//!
//! Only acknowledgements are promises: an operation without an answer may have happened or not, wholly. A tag that one
//! worker moves again and again is a register: it holds the last acknowledged value or the one that was under way.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use e2e::Target;
use e2e::http::{Connection, Request};
use e2e::image::Image;
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, sha256};

/// One acknowledged or attempted operation, in the order its worker made them.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// About to put this image under the tag.
    Attempted { repo: String, tag: String, image: Box<Image> },
    /// The manifest under this tag was answered 201.
    Tagged { repo: String, tag: String, image: Box<Image> },
    /// A chunk was answered 202: the upload at this location holds so many bytes of the blob made from the seed.
    Taken { location: String, seed: u64, offset: usize },
    /// The upload's PUT is about to be sent: its session may be gone from now on.
    Finishing { location: String },
    /// The blob was answered 201.
    Stored { repo: String, digest: String, location: String },
}

/// All promises made so far.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// (repository, tag) → values that it may hold: the last acknowledged one first, then what was under way since.
    tags: BTreeMap<(String, String), Vec<Image>>,
    acknowledged: BTreeSet<(String, String)>,
    /// Open uploads: location → (seed, acknowledged bytes).
    pub(crate) uploads: BTreeMap<String, (u64, usize)>,
    blobs: BTreeSet<(String, String)>,
    /// Answers that promised something.
    pub(crate) promises: usize,
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Promises looked at.
    pub(crate) checked: usize,
    /// Broken promises, in words.
    pub(crate) lost: Vec<String>,
}

impl History {
    pub(crate) fn record(&mut self, event: Event) {
        match event {
            Event::Attempted { repo, tag, image } => self.tags.entry((repo, tag)).or_default().push(*image),
            Event::Tagged { repo, tag, image } => {
                self.promises += 1;
                let key = (repo, tag);
                self.acknowledged.insert(key.clone());
                self.tags.insert(key, vec![*image]);
            }
            Event::Taken { location, seed, offset } => {
                self.promises += 1;
                self.uploads.insert(location, (seed, offset));
            }
            Event::Finishing { location } => {
                self.uploads.remove(&location);
            }
            Event::Stored { repo, digest, location } => {
                self.promises += 1;
                self.uploads.remove(&location);
                self.blobs.insert((repo, digest));
            }
        }
    }

    /// Holds the registry to everything it acknowledged, and what it did not to all-or-nothing.
    pub(crate) fn check(&self, target: &Target) -> anyhow::Result<Verdict> {
        let mut connection = target.connect();
        let mut verdict = Verdict::default();
        for ((repo, tag), values) in &self.tags {
            let promised = self.acknowledged.contains(&(repo.clone(), tag.clone()));
            verdict.checked += 1;
            if let Some(why) = check_tag(&mut connection, repo, tag, values, promised)? {
                verdict.lost.push(why);
            }
        }
        for (repo, digest) in &self.blobs {
            verdict.checked += 1;
            if let Some(why) = check_blob(&mut connection, repo, digest)? {
                verdict.lost.push(why);
            }
        }
        Ok(verdict)
    }

    /// Forgets what was checked, so that the next check looks at new promises only.
    pub(crate) fn clear(&mut self) {
        *self = Self { promises: self.promises, ..Self::default() };
    }
}

fn check_tag(
    connection: &mut Connection,
    repo: &str,
    tag: &str,
    values: &[Image],
    promised: bool,
) -> anyhow::Result<Option<String>> {
    let get = Request::new("GET", format!("/v2/{repo}/manifests/{tag}"))
        .header("Accept", format!("{OCI_MANIFEST}, {OCI_INDEX}"));
    let answer = connection.send(&get).with_context(|| format!("{repo}:{tag}"))?;
    if answer.status == 404 && !promised {
        return Ok(None);
    }
    if answer.status != 200 {
        return Ok(Some(format!("{repo}:{tag}: {} {}", answer.status, answer.text())));
    }
    let Some(image) = values.iter().find(|image| image.manifest == answer.body) else {
        return Ok(Some(format!("{repo}:{tag}: holds {}, which nobody pushed last", sha256(&answer.body))));
    };
    for bytes in [&image.config, &image.layer] {
        if let Some(why) = check_blob(connection, repo, &sha256(bytes))? {
            return Ok(Some(format!("{repo}:{tag}: {why}")));
        }
    }
    Ok(None)
}

fn check_blob(connection: &mut Connection, repo: &str, digest: &str) -> anyhow::Result<Option<String>> {
    let answer = connection.send(&Request::new("GET", format!("/v2/{repo}/blobs/{digest}")))?;
    if answer.status != 200 {
        return Ok(Some(format!("{repo}@{digest}: {} {}", answer.status, answer.text())));
    }
    if !answer.complete || sha256(&answer.body) != digest {
        return Ok(Some(format!("{repo}@{digest}: 200 but {} wrong bytes", answer.body.len())));
    }
    Ok(None)
}
