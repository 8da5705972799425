//! Our own scan in the common form, so that it takes part in a combination like any other.

use super::collect::{Collector, time};
use super::{Budget, ForeignError, Form, Limits, Scanner, ScannerFinding, ScannerReport};
use crate::matching::Finding;
use crate::report::ScanReport;
use crate::{Distro, Package, PackageKind, Purl};

/// The vulnerabilities of a scan; a scan that did not judge them has a problem.
///
/// # Errors
/// [`ForeignError::TooMany`] over the limit.
pub fn own(report: &ScanReport, limits: &Limits) -> Result<ScannerReport, ForeignError> {
    let judged = report.vulnerabilities.as_ref();
    let feeds = judged.map(|found| found.feeds.as_slice()).unwrap_or_default();
    let scanner = Scanner {
        name: "Bonded".into(),
        vendor: "Bonded".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        database: feeds.iter().map(|feed| feed.name.as_str()).collect::<Vec<_>>().join(", "),
        database_at: feeds.iter().filter_map(|feed| time(&feed.imported_at)).min(),
    };
    let mut budget = Budget { limits, entries: 0, depth: 0 };
    let mut out = Collector::new(Form::Bonded, scanner, &mut budget);
    out.created(&report.created);
    out.target(&report.target.name);
    if let Some(digest) = report.target.digest {
        out.digest(&digest.to_string());
    }
    let unread = report.problems.iter().chain(judged.into_iter().flat_map(|found| &found.problems));
    for problem in unread {
        let place = if problem.path.is_empty() { String::new() } else { format!(" {}", problem.path) };
        out.problem(&format!("{}{place}: {}", problem.source, problem.message));
    }
    match judged {
        None => out.problem("vulnerabilities were not looked for"),
        Some(found) => {
            for finding in &found.findings {
                out.entry()?;
                out.push(of(finding, report.target.distro.as_ref()));
            }
        }
    }
    Ok(out.finish())
}

fn of(finding: &Finding, distro: Option<&Distro>) -> ScannerFinding {
    let suppressed = finding.suppressed.first().map(|entry| entry.reason.clone());
    ScannerFinding {
        id: finding.id.clone(),
        aliases: finding.aliases.clone(),
        package: finding.package.clone(),
        version: finding.version.clone(),
        purl: purl(finding, distro).map(|purl| purl.to_string()),
        fixed_versions: finding.fixed_versions.clone(),
        severity: finding.severity,
        severity_source: finding.severity_source.0.clone(),
        ratings: finding.ratings.clone(),
        status: finding.status,
        suppressed,
        title: finding.title.clone(),
        links: links(finding),
        paths: finding.evidence.iter().map(|evidence| evidence.path.clone()).collect(),
        ..ScannerFinding::default()
    }
}

/// Pages on the vulnerability's names.
pub(crate) fn links(finding: &Finding) -> Vec<String> {
    let names = std::iter::once(&finding.id).chain(&finding.aliases);
    let page = |name: &String| match name.split('-').next()? {
        "CVE" => Some(format!("https://nvd.nist.gov/vuln/detail/{name}")),
        "GHSA" => Some(format!("https://github.com/advisories/{name}")),
        "DSA" | "DLA" => Some(format!("https://security-tracker.debian.org/tracker/{name}")),
        "USN" => Some(format!("https://ubuntu.com/security/notices/{name}")),
        "RHSA" | "RHBA" | "RHEA" => Some(format!("https://access.redhat.com/errata/{name}")),
        "GO" => Some(format!("https://pkg.go.dev/vuln/{name}")),
        "RUSTSEC" => Some(format!("https://rustsec.org/advisories/{name}.html")),
        "PYSEC" | "OSV" | "MAL" | "ALSA" | "ALBA" | "RLSA" | "HSEC" | "BIT" => {
            Some(format!("https://osv.dev/vulnerability/{name}"))
        }
        _ => None,
    };
    names.filter_map(page).collect()
}

/// The package URL of a finding's package, whose name is spelt as advisories do.
fn purl(finding: &Finding, distro: Option<&Distro>) -> Option<Purl> {
    let mut package = Package::new(finding.kind, &finding.package, &finding.version);
    package.arch.clone_from(&finding.arch);
    let split = match finding.kind {
        PackageKind::Maven => finding.package.split_once(':'),
        PackageKind::Npm => finding.package.strip_prefix('@').and_then(|rest| rest.split_once('/')),
        PackageKind::Composer => finding.package.split_once('/'),
        _ => None,
    };
    if let Some((namespace, name)) = split {
        package.namespace = Some(namespace.to_owned());
        name.clone_into(&mut package.name);
    }
    if let Some((name, version)) = &finding.source {
        package.source = Some(crate::SourcePackage { name: name.clone(), version: version.clone() });
    }
    Purl::of_package(&package, distro)
}
