//! The report for a person: one table per section, the worst first.

use std::fmt::Write as _;

use super::{Row, ScanReport, Section};
use crate::Severity;

/// Longest cell; longer ones are cut with an ellipsis.
const MAX_CELL: usize = 60;

/// Plain text, 7-bit frames, no colours: it is read in logs of CI systems too. With `all`, suppressed findings are
/// listed as well, with their reason.
pub fn table(report: &ScanReport, all: bool) -> String {
    let mut out = String::new();
    let target = &report.target;
    let version = target.version.as_ref().map(|version| format!(":{version}")).unwrap_or_default();
    let distro = target.distro.as_ref().map(|distro| format!(", {} {}", distro.id, distro.version_id));
    let _ = writeln!(
        out,
        "{}{version} ({} packages{})",
        target.name,
        target.packages,
        distro.unwrap_or_default()
    );
    if let Some(day) = &report.end_of_life {
        let _ = writeln!(out, "! the distribution's security support ended on {day}: fixes no longer come");
    }
    for feed in &report.stale_feeds {
        let _ = writeln!(out, "! {}: what became known since is missing", feed.sentence());
    }
    let rows = report.rows();
    let asked = [
        (Section::Vulnerability, report.vulnerabilities.is_some()),
        (Section::Secret, report.secrets.is_some()),
        (Section::Misconfiguration, report.misconfigurations.is_some()),
        (Section::License, report.licenses.is_some()),
        (Section::Malware, report.malware.is_some()),
        (Section::Outdated, report.outdated.is_some()),
    ];
    for (section, _) in asked.into_iter().filter(|(_, asked)| *asked) {
        let of_section: Vec<&Row> = rows.iter().filter(|row| row.section == section).collect();
        let (counting, suppressed): (Vec<&Row>, Vec<&Row>) =
            of_section.into_iter().partition(|row| row.suppressed.is_none());
        let _ = writeln!(out, "\n{}: {}", heading(section), summary(&counting));
        let shown: Vec<&Row> =
            if all { counting.iter().chain(&suppressed).copied().collect() } else { counting };
        if !shown.is_empty() {
            cells(&mut out, section, &shown, all);
        }
        if let Some(found) = report.outdated.as_ref().filter(|_| section == Section::Outdated) {
            let _ = writeln!(
                out,
                "{} packages judged; of {} no feed states the newest version",
                found.judged, found.unknown
            );
        }
        if !all && !suppressed.is_empty() {
            let _ = writeln!(out, "{} suppressed (--show-suppressed lists them)", suppressed.len());
        }
    }
    if let Some(advice) = &report.base {
        let _ = writeln!(out, "\n{}: {}", advice.base, advice.sentence());
    }
    let problems =
        report.problems.iter().chain(report.vulnerabilities.iter().flat_map(|found| &found.problems));
    let problems: std::collections::BTreeSet<_> = problems.collect();
    if !problems.is_empty() {
        let _ = writeln!(out, "\nincomplete: {} parts could not be read or judged", problems.len());
        for problem in problems {
            let place = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
            let _ = writeln!(out, "  {place}{} ({})", problem.message, problem.source);
        }
    }
    out
}

fn heading(section: Section) -> &'static str {
    match section {
        Section::Vulnerability => "Vulnerabilities",
        Section::Secret => "Secrets",
        Section::Misconfiguration => "Misconfiguration",
        Section::License => "Licences",
        Section::Malware => "Malware",
        Section::Outdated => "Outdated packages",
    }
}

/// `12 (critical 1, high 3, …), 9 fixable`.
fn summary(rows: &[&Row]) -> String {
    if rows.is_empty() {
        return "none".into();
    }
    let mut parts = Vec::new();
    for severity in Severity::ALL.into_iter().rev() {
        let count = rows.iter().filter(|row| row.severity == severity).count();
        if count > 0 {
            parts.push(format!("{} {count}", severity.as_str()));
        }
    }
    let fixable = rows.iter().filter(|row| !row.fixed.is_empty()).count();
    let tail = match rows.first().map(|row| row.section) {
        Some(Section::Vulnerability) => format!(", {fixable} fixable"),
        _ => String::new(),
    };
    format!("{} ({}){tail}", rows.len(), parts.join(", "))
}

/// The cells of a row.
type Select = fn(&Row) -> Vec<String>;

fn cells(out: &mut String, section: Section, rows: &[&Row], all: bool) {
    let (mut head, select): (Vec<&str>, Select) = match section {
        Section::Vulnerability => {
            (vec!["package", "version", "vulnerability", "severity", "fixed in", "title"], |row| {
                let needs = row.needs.map(|needs| format!(" ({needs})")).unwrap_or_default();
                let fixed =
                    if row.fixed.is_empty() { row.status.clone() } else { row.fixed.join(", ") + &needs };
                vec![
                    row.subject.clone(),
                    row.version.clone(),
                    row.id.clone(),
                    row.severity.as_str().into(),
                    fixed,
                    row.title.clone(),
                ]
            })
        }
        Section::License => (vec!["package", "version", "licence", "class"], |row| {
            vec![row.subject.clone(), row.version.clone(), row.id.clone(), row.status.clone()]
        }),
        Section::Outdated => (vec!["package", "version", "newest", "behind"], |row| {
            vec![row.subject.clone(), row.version.clone(), row.fixed.join(", "), row.status.clone()]
        }),
        _ => (vec!["place", "rule", "severity", "what"], |row| {
            let place = match row.lines {
                Some((line, _)) => format!("{}:{line}", row.path),
                None => row.path.clone(),
            };
            vec![place, row.id.clone(), row.severity.as_str().into(), row.title.clone()]
        }),
    };
    if all {
        head.push("suppressed");
    }
    let mut lines: Vec<Vec<String>> = vec![head.iter().map(|name| (*name).to_owned()).collect()];
    for row in rows {
        let mut line = select(row);
        if all {
            line.push(row.suppressed.clone().unwrap_or_default());
        }
        lines.push(line.iter().map(|cell| cut(cell)).collect());
    }
    let widths: Vec<usize> = (0..head.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
        .collect();
    for (number, line) in lines.iter().enumerate() {
        let padded: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "{}", padded.join("  ").trim_end());
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(out, "{}", rule.join("  "));
        }
    }
}

/// One printable line of bounded length: a terminal must not obey what an image says.
fn cut(cell: &str) -> String {
    let clean: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= MAX_CELL {
        return clean;
    }
    clean.chars().take(MAX_CELL - 1).chain(['…']).collect()
}
