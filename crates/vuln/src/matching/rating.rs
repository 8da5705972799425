//! Which severity a finding has, and who says so.
//!
//! The distribution's own word comes first, then the ecosystem's, then CVSS vectors (4, 3, 2) of the matched
//! advisories, then what other feeds say of the same vulnerability. Every rating is kept.

use super::candidates::Hit;
use crate::advisory::{Rating as Stated, known_word};
use crate::db::{Db, DbError};
use crate::package::Distro;
use crate::severity::{CvssScore, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One rating of a vulnerability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rating {
    /// Feed or vendor.
    pub source: String,
    /// The word, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// The CVSS vector, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
    /// CVSS base score, 0–10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The level it means.
    pub severity: Severity,
}

/// Who rated a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RatedBy(pub String);

fn read(stated: &Stated, feed: &str) -> Option<Rating> {
    let source = stated.source.clone().unwrap_or_else(|| feed.to_owned());
    let text = stated.score.trim();
    if let Ok(cvss) = CvssScore::parse(text) {
        let (severity, score) = (cvss.severity(), Some(cvss.score));
        return Some(Rating { source, word: None, vector: Some(cvss.vector), score, severity });
    }
    if let Ok(score) = text.parse::<f64>() {
        return Some(Rating {
            source,
            word: None,
            vector: None,
            score: Some(score),
            severity: Severity::from_score(score),
        });
    }
    let severity = known_word(text)?;
    Some(Rating { source, word: Some(text.to_owned()), vector: None, score: None, severity })
}

/// Whose list a rating stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The matched row of the package itself.
    Row,
    /// The matched advisory.
    Advisory,
    /// Quoted from somebody else, or another advisory of the same vulnerability.
    Elsewhere,
}

/// Rank of a rating: lower comes first.
fn rank(r: &Rating, place: Place, vendor: &str) -> u8 {
    let word = r.word.is_some();
    let version = match r.vector.as_deref() {
        Some(v) if v.starts_with("CVSS:4") => 0,
        Some(v) if v.starts_with("CVSS:3") => 1,
        _ => 2,
    };
    let own = !vendor.is_empty() && r.source == vendor;
    match (place, word) {
        (Place::Row, true) => 0,
        (Place::Elsewhere, true) if own => 1,
        (Place::Advisory, true) => 2,
        (Place::Row, false) => 4 + version,
        (Place::Advisory, false) => 8 + version,
        (Place::Elsewhere, false) if own => 12 + version,
        (Place::Elsewhere, true) if r.source == "ghsa" => 16,
        (Place::Elsewhere, true) if r.source == "nvd" => 17,
        (Place::Elsewhere, false) => 20 + version,
        (Place::Elsewhere, true) => 24,
    }
}

/// Chooses among everything that is stated of the names.
pub(super) fn choose(
    db: &Db<'_>,
    hits: &[&Hit<'_>],
    names: &BTreeSet<String>,
    distro: Option<&Distro>,
) -> Result<(Severity, RatedBy, Vec<Rating>), DbError> {
    let vendor = distro.map_or("", |d| match d.id.as_str() {
        "rhel" | "centos" => "redhat",
        "almalinux" => "alma",
        "rocky" => "rocky",
        "ol" => "oracle-oval",
        "amzn" => "amazon",
        "azurelinux" | "mariner" => "cbl-mariner",
        "sles" | "opensuse-leap" | "opensuse-tumbleweed" => "suse-cvrf",
        other => other,
    });
    let vendor = if hits.iter().any(|h| h.scope.contains(':')) { vendor } else { Default::default() };
    let mut all: Vec<(u8, Rating)> = Vec::new();
    let mut seen = BTreeSet::new();
    for hit in hits {
        seen.insert(hit.at);
        let feed = db.feed_of(hit.at).map(|f| f.name.clone()).unwrap_or_default();
        for (list, place) in [(&hit.claim.severity, Place::Row), (&hit.head.severity, Place::Advisory)] {
            for stated in list {
                let place = if stated.source.is_some() { Place::Elsewhere } else { place };
                all.extend(read(stated, &feed).map(|r| (rank(&r, place, vendor), r)));
            }
        }
    }
    for name in names {
        for at in db.by_id(name)? {
            if !seen.insert(at) {
                continue;
            }
            let head = db.head(at)?;
            // An erratum that merely names the vulnerability rates the erratum.
            if head.withdrawn || (head.id != name && !head.aliases.contains(&name.as_str())) {
                continue;
            }
            let feed = db.feed_of(at).map(|f| f.name.clone()).unwrap_or_default();
            let ratings = head.severity.iter().filter_map(|s| read(s, &feed));
            all.extend(ratings.map(|r| (rank(&r, Place::Elsewhere, vendor), r)));
        }
    }
    let key = |r: &Rating| (r.source.clone(), r.word.clone(), r.vector.clone(), r.score.map(f64::to_bits));
    all.sort_by(|a, b| {
        (a.0, std::cmp::Reverse(a.1.severity), key(&a.1)).cmp(&(
            b.0,
            std::cmp::Reverse(b.1.severity),
            key(&b.1),
        ))
    });
    let chosen =
        all.iter().find(|(_, r)| r.severity != Severity::Unknown).or(all.first()).map(|(_, r)| r.clone());
    let mut ratings: Vec<Rating> = all.into_iter().map(|(_, r)| r).collect();
    ratings.sort_by_key(key);
    ratings.dedup();
    Ok(chosen.map_or((Severity::Unknown, RatedBy::default(), ratings.clone()), |r| {
        (r.severity, RatedBy(r.source), ratings)
    }))
}
