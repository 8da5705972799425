//! Snyk's JSON: `snyk test --json` and `snyk container test --json`, one project or several.

use serde_json::Value;

use super::collect::{Collector, rating};
use super::json::{Object, at, items, list, number, text, texts, value};
use super::{Budget, ForeignError, Form, Scanner, ScannerFinding, ScannerReport};
use crate::Severity;
use crate::advisory::{Status, known_word};
use crate::purl::{Purl, PurlParts};

/// Whether the document is a project's result, or says that a project could not be tested.
pub(super) fn is(root: &Object<'_>) -> bool {
    let tested = ["packageManager", "projectName", "dependencyCount", "docker"];
    root.has("vulnerabilities") && tested.iter().any(|key| root.has(key))
        || root.has("ok") && root.has("error")
}

/// Several projects (`--all-projects`).
pub(super) fn list_of(text: &str, budget: &mut Budget<'_>) -> Result<Vec<ScannerReport>, ForeignError> {
    let mut projects = Vec::new();
    for project in list(text)? {
        let project = Object::parse(project)?;
        if !is(&project) {
            return Err(ForeignError::Unknown);
        }
        projects.push(project);
    }
    if projects.is_empty() {
        return Err(ForeignError::Silent { form: "Snyk JSON", why: "the list of projects is empty" });
    }
    whole(&projects, budget)
}

pub(super) fn read(root: Object<'_>, budget: &mut Budget<'_>) -> Result<Vec<ScannerReport>, ForeignError> {
    whole(&[root], budget)
}

fn whole(projects: &[Object<'_>], budget: &mut Budget<'_>) -> Result<Vec<ScannerReport>, ForeignError> {
    let scanner = Scanner { name: "Snyk".into(), vendor: "Snyk".into(), ..Scanner::default() };
    let mut out = Collector::new(Form::Snyk, scanner, budget);
    for root in projects {
        out.target(root.text("path").trim_end_matches('/'));
        project(root, &mut out)?;
        for application in root.list("applications")? {
            project(&Object::parse(application)?, &mut out)?;
        }
    }
    Ok(vec![out.finish()])
}

fn project(root: &Object<'_>, out: &mut Collector<'_, '_>) -> Result<(), ForeignError> {
    out.entry()?;
    let error = root.text("error");
    if !error.is_empty() {
        out.problem(&format!("Snyk could not test {}: {error}", root.text("path")));
    } else if !root.has("vulnerabilities") {
        out.problem(&format!("Snyk states no result for {}", root.text("path")));
    }
    out.image_id(text(&root.value("docker"), &["imageId"]));
    let manager = root.text("packageManager");
    let filtered = root.object("filtered");
    let ignored = filtered.as_ref().map_or(Ok(Vec::new()), |filtered| filtered.list("ignore"))?;
    let counted = root.list("vulnerabilities")?;
    let all = counted.into_iter().map(|entry| (entry, false)).chain(ignored.into_iter().map(|e| (e, true)));
    for (entry, ignored) in all {
        out.entry()?;
        match value(entry) {
            Ok(entry) if text(&entry, &["type"]) == "license" => out.pass_over("licences", 1),
            Ok(entry) => out.push(finding(&entry, &manager, ignored)),
            Err(error) => out.problem(&format!("a vulnerability is not understood: {error}")),
        }
    }
    Ok(())
}

fn finding(entry: &Value, manager: &str, ignored: bool) -> ScannerFinding {
    let mut aliases: Vec<String> = Vec::new();
    for kind in ["CVE", "GHSA", "RHSA", "ALTERNATIVE"] {
        aliases.extend(texts(entry, &["identifiers", kind]).map(str::to_owned));
    }
    let mut ratings = Vec::new();
    let severity = text(entry, &["severity"]);
    ratings.extend(rating("snyk", text(entry, &["CVSSv3"]), number(at(entry, &["cvssScore"])), ""));
    for stated in items(entry, &["cvssDetails"]) {
        let vector = text(stated, &["cvssV3Vector"]);
        let score = number(at(stated, &["cvssV3BaseScore"]));
        ratings.extend(rating(text(stated, &["assigner"]), vector, score, text(stated, &["severity"])));
    }
    let own = text(entry, &["packageManager"]);
    let (package, purl) = package(entry, if own.is_empty() { manager } else { own });
    let reasons = items(entry, &["filtered", "ignored"]).iter().map(|rule| text(rule, &["reason"]));
    let reason = reasons.filter(|reason| !reason.is_empty()).collect::<Vec<_>>().join("; ");
    let id = text(entry, &["id"]);
    let page = (!id.is_empty()).then(|| format!("https://security.snyk.io/vuln/{id}"));
    let linked = items(entry, &["references"]).iter().map(|link| text(link, &["url"]).to_owned());
    let from = texts(entry, &["from"]).map(str::to_owned).collect::<Vec<_>>();
    ScannerFinding {
        id: id.to_owned(),
        aliases,
        package,
        version: text(entry, &["version"]).to_owned(),
        purl,
        fixed_versions: fixed(entry),
        severity: known_word(severity).unwrap_or(Severity::Unknown),
        severity_source: "snyk".into(),
        ratings,
        status: Status::Affected,
        suppressed: ignored.then(|| if reason.is_empty() { "ignored".to_owned() } else { reason }),
        title: text(entry, &["title"]).to_owned(),
        description: text(entry, &["description"]).to_owned(),
        weaknesses: texts(entry, &["identifiers", "CWE"]).map(str::to_owned).collect(),
        links: page.into_iter().chain(linked).collect(),
        paths: if from.is_empty() { Vec::new() } else { vec![from.join(" > ")] },
    }
}

/// The nearest repair comes first: the others are of newer branches.
fn fixed(entry: &Value) -> Vec<String> {
    let nearest = text(entry, &["nearestFixedInVersion"]);
    let nearest = (!nearest.is_empty()).then(|| nearest.to_owned());
    nearest.into_iter().chain(texts(entry, &["fixedIn"]).map(str::to_owned)).collect()
}

/// Name and package URL: Snyk writes a distribution's packages as `source/binary`.
fn package(entry: &Value, manager: &str) -> (String, Option<String>) {
    let (name, version) = (text(entry, &["name"]), text(entry, &["version"]));
    let (system, release) = manager.split_once(':').unwrap_or((manager, ""));
    let distribution = match system {
        "debian" | "ubuntu" => Some("deb"),
        "rhel" | "centos" | "rocky" | "almalinux" | "amzn" | "oracle" | "sles" | "opensuse" | "fedora" => {
            Some("rpm")
        }
        "alpine" | "wolfi" | "chainguard" => Some("apk"),
        _ => None,
    };
    if let Some(ty) = distribution {
        let (source, binary) = name.split_once('/').unwrap_or(("", name));
        let (epoch, bare) = match version.split_once(':').filter(|_| ty == "rpm") {
            Some((epoch, rest)) => (epoch, rest),
            None => ("", version),
        };
        let distro = if release.is_empty() { String::new() } else { format!("{system}-{release}") };
        let parts = PurlParts::new(ty, binary, bare)
            .namespace(system)
            .qualifier("distro", &distro)
            .qualifier("epoch", epoch)
            .qualifier("upstream", if source == binary { "" } else { source });
        return (binary.to_owned(), purl(parts));
    }
    let ty = match system {
        "npm" | "yarn" | "yarn-workspace" | "pnpm" => "npm",
        "pip" | "pipenv" | "poetry" => "pypi",
        "maven" | "gradle" | "sbt" => "maven",
        "golang" | "gomodules" | "golangdep" | "govendor" => "golang",
        "rubygems" => "gem",
        "nuget" | "paket" => "nuget",
        "composer" => "composer",
        "hex" => "hex",
        "pub" => "pub",
        "cocoapods" => "cocoapods",
        _ => return (name.to_owned(), None),
    };
    let (namespace, last) = match ty {
        "maven" => name.split_once(':').unwrap_or(("", name)),
        _ => name.rsplit_once('/').unwrap_or(("", name)),
    };
    (name.to_owned(), purl(PurlParts::new(ty, last, version).namespace(namespace)))
}

fn purl(parts: PurlParts) -> Option<String> {
    Purl::build_lenient(parts).ok().map(|purl| purl.to_string())
}
