//! CSAF 2.0 of distributions: advisories (errata) and VEX, as Red Hat and SUSE publish them
//! (<https://docs.oasis-open.org/csaf/csaf/v2.0/csaf-v2.0.html>).
//!
//! A product is a component in a platform. The platform (CPE or name) gives the ecosystem, the component (package URL
//! or NEVRA) the package. `fixed` states repairing builds, `known_affected` together with the remediations why there is
//! none, `known_not_affected` that a package, or one build, is not touched.

use super::{Item, Refusal, Sink, from_json};
use crate::advisory::{Advisory, Affected, NameKind, Rating, Reference, Status, known_word, scope};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most rows that one document may state.
const MAX_PRODUCTS: usize = 2_000_000;
/// Deepest nesting of branches.
const MAX_DEPTH: u32 = 32;

#[derive(Deserialize)]
struct Document {
    document: Meta,
    #[serde(default)]
    product_tree: Tree,
    #[serde(default)]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
struct Meta {
    title: Option<String>,
    tracking: Tracking,
    aggregate_severity: Option<Text>,
    #[serde(default)]
    references: Vec<Link>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Link {
    url: String,
}

#[derive(Deserialize)]
struct Tracking {
    id: String,
    #[serde(default)]
    current_release_date: String,
    initial_release_date: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tree {
    branches: Vec<Branch>,
    full_product_names: Vec<Product>,
    relationships: Vec<Relationship>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Branch {
    branches: Vec<Branch>,
    product: Option<Product>,
}

#[derive(Deserialize)]
struct Product {
    product_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    product_identification_helper: Helper,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Helper {
    cpe: Option<String>,
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Relationship {
    full_product_name: Product,
    product_reference: String,
    relates_to_product_reference: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vulnerability {
    cve: Option<String>,
    title: Option<String>,
    product_status: BTreeMap<String, Vec<String>>,
    remediations: Vec<Remediation>,
    scores: Vec<Score>,
    threats: Vec<Threat>,
    references: Vec<Link>,
    notes: Vec<Note>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Note {
    category: String,
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Remediation {
    category: String,
    details: String,
    product_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Score {
    cvss_v4: Option<Cvss>,
    cvss_v3: Option<Cvss>,
    cvss_v2: Option<Cvss>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cvss {
    vector_string: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Threat {
    category: String,
    details: String,
    product_ids: Vec<String>,
}

pub(super) fn read(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    let document: Document = from_json(bytes)?;
    let products = Products::of(&document.product_tree)?;
    // Vulnerabilities of an erratum with one and the same product status and ratings are one advisory.
    let mut groups: Vec<(&Vulnerability, Vec<Rating>, BTreeSet<String>)> = Vec::new();
    for v in &document.vulnerabilities {
        let cve: BTreeSet<String> = v.cve.clone().into_iter().collect();
        let rated = ratings(&document.document, v);
        let same = |(first, own, _): &&mut (&Vulnerability, Vec<Rating>, BTreeSet<String>)| {
            first.product_status == v.product_status && *own == rated
        };
        match groups.iter_mut().find(same) {
            Some((_, _, cves)) => cves.extend(cve),
            None => groups.push((v, rated, cve)),
        }
    }
    for (number, (v, severity, cves)) in groups.into_iter().enumerate() {
        let tracking = &document.document.tracking;
        let id = if number == 0 { tracking.id.clone() } else { format!("{}#{number}", tracking.id) };
        let meta = &document.document;
        // What is said of one vulnerability is not said of the others.
        let single = cves.len() < 2;
        let text = |c: &str| v.notes.iter().find(|n| single && n.category == c).map(|n| n.text.clone());
        let title = v.title.clone().filter(|_| single);
        let links =
            meta.references.iter().chain(&v.references).map(|l| Reference::web(l.url.as_str())).collect();
        let upstream = cves.into_iter().filter(|c| *c != id).collect();
        sink(Item::Advisory(Box::new(Advisory {
            id,
            upstream,
            modified: tracking.current_release_date.clone(),
            published: tracking.initial_release_date.clone(),
            summary: title.or_else(|| meta.title.clone()).unwrap_or_default(),
            details: text("description").or_else(|| text("summary")).unwrap_or_default(),
            severity,
            affected: rows(v, &products),
            references: links,
            ..Advisory::default()
        })));
    }
    Ok(())
}

fn ratings(meta: &Meta, v: &Vulnerability) -> Vec<Rating> {
    // An impact is a rating only where it is a word of one: elsewhere it tells why a product is not affected.
    let impact = v.threats.iter().filter(|t| t.category == "impact").map(|t| t.details.as_str());
    let whole = meta.aggregate_severity.as_ref().map(|a| a.text.as_str());
    let word = impact.chain(whole).find(|text| known_word(text).is_some());
    let vectors = v.scores.iter().flat_map(|s| [&s.cvss_v4, &s.cvss_v3, &s.cvss_v2]).flatten();
    let mut all: Vec<_> = word.map(Rating::label).into_iter().collect();
    all.extend(vectors.map(|c| Rating::vector(c.vector_string.as_str())));
    all.dedup();
    all
}

/// Component of a product: name, build, architecture, module stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Component {
    name: String,
    evr: Option<String>,
    arch: Option<String>,
    module: Option<String>,
}

struct Products<'a> {
    /// Relationship's product id → (component, ecosystem).
    known: HashMap<&'a str, (Component, String)>,
}

impl<'a> Products<'a> {
    fn of(tree: &'a Tree) -> Result<Self, Refusal> {
        let mut plain = HashMap::new();
        for branch in &tree.branches {
            collect(branch, 0, &mut plain)?;
        }
        plain.extend(tree.full_product_names.iter().map(|p| (p.product_id.as_str(), p)));
        if tree.relationships.len() > MAX_PRODUCTS {
            return Err(Refusal::new("too many products"));
        }
        let mut known = HashMap::new();
        for r in &tree.relationships {
            // A module is a component of a platform and itself the platform of its packages.
            let mut platform = r.relates_to_product_reference.as_str();
            let mut module = None;
            if let Some(inner) = tree_relation(tree, &known, platform) {
                module = inner.0;
                platform = inner.1;
            }
            let Some(ecosystem) = plain.get(platform).and_then(|p| ecosystem(p)) else { continue };
            let helper = plain.get(r.product_reference.as_str()).map(|p| &p.product_identification_helper);
            let mut component = component(&r.product_reference, helper.and_then(|h| h.purl.as_deref()));
            component.module = component.module.or(module);
            known.insert(r.full_product_name.product_id.as_str(), (component, ecosystem));
        }
        Ok(Self { known })
    }
}

/// When `platform` is itself a relationship: its module stream and the platform below it.
fn tree_relation<'a>(
    tree: &'a Tree,
    known: &HashMap<&'a str, (Component, String)>,
    platform: &str,
) -> Option<(Option<String>, &'a str)> {
    if !known.contains_key(platform) {
        return None;
    }
    let outer = tree.relationships.iter().find(|r| r.full_product_name.product_id == platform)?;
    let mut parts = outer.product_reference.split(':');
    let module = match (parts.next(), parts.next()) {
        (Some(name), Some(stream)) => Some(format!("{name}:{stream}")),
        _ => None,
    };
    Some((module, outer.relates_to_product_reference.as_str()))
}

fn collect<'a>(
    branch: &'a Branch,
    depth: u32,
    out: &mut HashMap<&'a str, &'a Product>,
) -> Result<(), Refusal> {
    if depth > MAX_DEPTH {
        return Err(Refusal::new("branches nested too deeply"));
    }
    out.extend(branch.product.iter().map(|p| (p.product_id.as_str(), p)));
    branch.branches.iter().try_for_each(|b| collect(b, depth + 1, out))
}

fn ecosystem(platform: &Product) -> Option<String> {
    let cpe = platform.product_identification_helper.cpe.as_deref().unwrap_or_default();
    if cpe.contains(":redhat:") {
        return scope::red_hat_cpe(cpe);
    }
    let name = platform.name.as_str();
    if cpe.contains(":suse:") || name.starts_with("SUSE ") {
        return Some(scope::canonical(&format!("SUSE:{}", name.trim_start_matches("SUSE "))));
    }
    if cpe.contains(":opensuse:") || name.starts_with("openSUSE ") {
        return Some(scope::canonical(&format!("openSUSE:{}", name.trim_start_matches("openSUSE "))));
    }
    None
}

fn component(reference: &str, purl: Option<&str>) -> Component {
    if let Some(rest) = purl.and_then(|p| p.strip_prefix("pkg:rpm/")) {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.split('#').next().unwrap_or(path);
        let (path, version) = path.split_once('@').unwrap_or((path, ""));
        let qualifier = |key: &str| {
            query
                .split('&')
                .find_map(|q| q.strip_prefix(key)?.strip_prefix('='))
                .map(decode)
                .filter(|v| !v.is_empty())
        };
        let version = decode(version);
        // Red Hat leaves the epoch out of the package URL unless it is in the qualifiers; the product id has it.
        let epoch = qualifier("epoch").or_else(|| epoch_of(reference)).filter(|e| e != "0");
        let evr = (!version.is_empty()).then(|| match epoch {
            Some(epoch) if !version.contains(':') => format!("{epoch}:{version}"),
            _ => version,
        });
        let module = qualifier("rpmmod").map(|m| m.split(':').take(2).collect::<Vec<_>>().join(":"));
        return Component {
            name: decode(path.rsplit('/').next().unwrap_or(path)),
            evr,
            arch: qualifier("arch"),
            module,
        };
    }
    nevra(reference)
}

fn epoch_of(reference: &str) -> Option<String> {
    let (before, _) = reference.split_once(':')?;
    let epoch = before.rsplit('-').next()?;
    epoch.bytes().all(|b| b.is_ascii_digit()).then(|| epoch.to_owned()).filter(|e| !e.is_empty())
}

/// `curl-0:7.76.1-26.el9.x86_64` or a bare name.
fn nevra(text: &str) -> Component {
    let parts = || {
        let (rest, arch) = text.rsplit_once('.')?;
        let (rest, release) = rest.rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| Component {
            name: name.to_owned(),
            evr: Some(format!("{}-{release}", version.strip_prefix("0:").unwrap_or(version))),
            arch: Some(arch.to_owned()),
            module: None,
        })
    };
    parts().unwrap_or_else(|| Component {
        name: text.rsplit('/').next().unwrap_or(text).to_owned(),
        ..Component::default()
    })
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        if let Some(byte) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            out.push(byte);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Ecosystem and component (its architecture left out) with its status.
type RowKey = (String, String, Option<String>, Option<String>, Option<Status>);
/// Rows → architectures.
type Rows = BTreeMap<RowKey, BTreeSet<String>>;

fn rows(v: &Vulnerability, products: &Products<'_>) -> Vec<Affected> {
    let mut reasons: HashMap<&str, Status> = HashMap::new();
    for r in &v.remediations {
        let details = r.details.to_ascii_lowercase();
        let status = match r.category.as_str() {
            "no_fix_planned" if details.contains("out of support") => Status::EndOfLife,
            "no_fix_planned" => Status::WillNotFix,
            "none_available" if details.contains("deferred") => Status::FixDeferred,
            "none_available" if details.contains("out of support") => Status::EndOfLife,
            "none_available" => Status::Affected,
            _ => continue,
        };
        reasons.extend(r.product_ids.iter().map(|id| (id.as_str(), status)));
    }
    let mut all = Rows::new();
    for (state, ids) in &v.product_status {
        for id in ids {
            let Some((component, ecosystem)) = products.known.get(id.as_str()) else { continue };
            let source = component.arch.as_deref() == Some("src");
            let status = match state.as_str() {
                "fixed" | "first_fixed" | "recommended" if component.evr.is_some() && !source => None,
                "known_affected" | "first_affected" | "last_affected" => {
                    Some(reasons.get(id.as_str()).copied().unwrap_or(Status::Affected))
                }
                "known_not_affected" if !(source && component.evr.is_some()) => Some(Status::NotAffected),
                "under_investigation" => Some(Status::UnderInvestigation),
                _ => continue,
            };
            let key = (
                ecosystem.clone(),
                component.name.clone(),
                component.evr.clone(),
                component.module.clone(),
                status,
            );
            all.entry(key)
                .or_default()
                .extend(component.arch.clone().filter(|a| a != "src" && a != "noarch"));
        }
    }
    let row = |((ecosystem, name, evr, module, status), arches): (RowKey, BTreeSet<String>)| {
        let entry = Affected::new(ecosystem, name);
        let any = evr.is_none();
        let mut entry = match (&evr, status) {
            (Some(evr), None) => entry.until(Some(evr)),
            (Some(evr), Some(status)) => {
                Affected { versions: vec![evr.clone()], ..entry }.with_status(status)
            }
            (None, Some(status)) => entry.until(None).with_status(status),
            (None, None) => entry,
        };
        entry.names = if any { NameKind::Any } else { NameKind::Binary };
        (entry.module, entry.arches) = (module, if any { Vec::new() } else { arches.into_iter().collect() });
        entry
    };
    all.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published form of a Red Hat VEX document, cut to one package.
    const VEX: &str = r#"{"document":{"category":"csaf_vex","csaf_version":"2.0","title":"t","tracking":{"id":"CVE-2023-1",
      "current_release_date":"2025-01-01T00:00:00Z"},"aggregate_severity":{"text":"Important"}},
     "product_tree":{"branches":[{"branches":[
       {"product":{"name":"Red Hat Enterprise Linux 8","product_id":"rhel8","product_identification_helper":{"cpe":"cpe:/o:redhat:enterprise_linux:8"}}},
       {"product":{"name":"BaseOS","product_id":"BaseOS-8.9","product_identification_helper":{"cpe":"cpe:/o:redhat:enterprise_linux:8::baseos"}}},
       {"product":{"name":"curl","product_id":"curl","product_identification_helper":{"purl":"pkg:rpm/redhat/curl?arch=src"}}},
       {"product":{"name":"x","product_id":"bind-32:9.11.36-11.el8_9.x86_64","product_identification_helper":{"purl":"pkg:rpm/redhat/bind@9.11.36-11.el8_9?arch=x86_64&epoch=32"}}}]}],
      "relationships":[
       {"category":"default_component_of","full_product_name":{"name":"n","product_id":"rhel8:curl"},"product_reference":"curl","relates_to_product_reference":"rhel8"},
       {"category":"default_component_of","full_product_name":{"name":"n","product_id":"BaseOS-8.9:bind"},"product_reference":"bind-32:9.11.36-11.el8_9.x86_64","relates_to_product_reference":"BaseOS-8.9"}]},
     "vulnerabilities":[{"cve":"CVE-2023-1","product_status":{"fixed":["BaseOS-8.9:bind"],"known_affected":["rhel8:curl"]},
       "remediations":[{"category":"no_fix_planned","details":"Will not fix","product_ids":["rhel8:curl"]}],
       "threats":[{"category":"impact","details":"Moderate"}]}]}"#;

    #[test]
    fn a_reason_given_as_impact_is_no_rating() {
        let text = VEX.replace("Moderate", "Class with vulnerable code was removed before shipping.");
        let mut out = Vec::new();
        read(text.as_bytes(), &mut |i| out.push(i)).expect("document");
        let Some(Item::Advisory(a)) = out.pop() else { panic!("no advisory") };
        assert_eq!(a.severity, [Rating::label("Important")], "the document's own");
        assert_ne!(a.affected, []);
    }

    #[test]
    fn red_hat_vex_states_fixed_builds_and_why_others_stay_open() {
        let mut out = Vec::new();
        read(VEX.as_bytes(), &mut |i| out.push(i)).expect("document");
        let Some(Item::Advisory(a)) = out.pop() else { panic!("no advisory") };
        let bind = &a.affected[0];
        let curl = &a.affected[1];
        assert_eq!(
            bind.package.as_ref().map(|p| (p.ecosystem.as_str(), p.name.as_str())),
            Some(("Red Hat:8", "bind"))
        );
        assert_eq!(bind.ranges[0].events[1].version(), "32:9.11.36-11.el8_9");
        assert_eq!(bind.arches, ["x86_64"]);
        assert_eq!((curl.status, curl.names), (Some(Status::WillNotFix), NameKind::Any));
        assert_eq!(a.severity[0].score, "Moderate");
    }

    #[test]
    fn suse_erratum_names_its_release() {
        let text = r#"{"document":{"csaf_version":"2.0","tracking":{"id":"SUSE-SU-2022:2251-1"}},
         "product_tree":{"branches":[{"product":{"name":"SUSE Linux Enterprise Server 15 SP3","product_id":"SLES","product_identification_helper":{"cpe":"cpe:/o:suse:sles:15:sp3"}}},
           {"product":{"name":"l","product_id":"libopenssl1_1-1.1.1d-150200.11.48.1.x86_64"}}],
          "relationships":[{"full_product_name":{"name":"n","product_id":"SLES:l"},"product_reference":"libopenssl1_1-1.1.1d-150200.11.48.1.x86_64","relates_to_product_reference":"SLES"}]},
         "vulnerabilities":[{"cve":"CVE-2022-2068","product_status":{"recommended":["SLES:l"]}},{"cve":"CVE-2022-1","product_status":{"recommended":["SLES:l"]}}]}"#;
        let mut out = Vec::new();
        read(text.as_bytes(), &mut |i| out.push(i)).expect("document");
        let Some(Item::Advisory(a)) = out.pop() else { panic!("no advisory") };
        assert!(out.is_empty());
        assert_eq!(a.upstream, ["CVE-2022-1", "CVE-2022-2068"]);
        let p = a.affected[0].package.as_ref().expect("package");
        assert_eq!((p.ecosystem.as_str(), p.name.as_str()), ("SUSE:15.3", "libopenssl1_1"));
    }
}
