//! Grype's published database, version 6 (SQLite with JSON blobs).
//!
//! SQLite reads the bytes as an in-memory file; the schema's names are those of grype's v6 store.

use super::{EpssScore, Item, KevEntry, Refusal, Sink};
use crate::advisory::requirement::VersionSet;
use crate::advisory::{Advisory, Affected, NameKind, Rating, Reference, Status, scope};
use rusqlite::{Connection, Row};
use serde::Deserialize;
use serde_json::Value;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Blob {
    description: String,
    refs: Vec<Link>,
    aliases: Vec<String>,
    severities: Vec<Rated>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Link {
    url: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rated {
    scheme: String,
    value: Value,
    source: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PackageBlob {
    cves: Vec<String>,
    qualifiers: Option<Qualifiers>,
    ranges: Vec<Span>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Qualifiers {
    rpm_modularity: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Span {
    version: Constraint,
    fix: Option<Fix>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Constraint {
    constraint: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fix {
    version: String,
    state: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Exploited {
    vulnerability_name: String,
    known_ransomware_campaign_use: String,
    date_added: String,
    due_date: String,
}

const VULNERABILITIES: &str = "SELECT v.id, v.name, v.status, v.published_date, v.modified_date, v.withdrawn_date, \
     v.provider_id, b.value FROM vulnerability_handles v LEFT JOIN blobs b ON b.id = v.blob_id ORDER BY v.id";
const PACKAGES: &str = "SELECT p.ecosystem, p.name, o.name, o.major_version, o.minor_version, o.label_version, \
     o.codename, o.channel, b.value FROM {table} a JOIN packages p ON p.id = a.package_id \
     LEFT JOIN operating_systems o ON o.id = a.operating_system_id LEFT JOIN blobs b ON b.id = a.blob_id \
     WHERE a.vulnerability_id = ?1 ORDER BY a.id";

pub(super) fn read(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    let mut db = Connection::open_in_memory().map_err(Refusal::from_error)?;
    db.deserialize_read_exact("main", bytes, bytes.len(), false).map_err(Refusal::from_error)?;
    let has = |table: &str| {
        let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1";
        db.query_row(sql, [table], |r| r.get::<_, i64>(0)).is_ok_and(|n| n > 0)
    };
    if !has("vulnerability_handles") || !has("affected_package_handles") {
        return Err(Refusal::new("SQLite file without grype's version 6 tables"));
    }

    let tables: Vec<_> =
        ["affected_package_handles", "unaffected_package_handles"].into_iter().filter(|t| has(t)).collect();
    for table in &tables {
        // The file is shipped without indexes; ours, in the in-memory copy, keeps the join linear.
        let sql = format!("CREATE INDEX IF NOT EXISTS bonded_{table} ON {table} (vulnerability_id)");
        db.execute_batch(&sql).map_err(Refusal::from_error)?;
    }
    vulnerabilities(&db, &tables, sink).map_err(Refusal::from_error)?;
    if has("epss_handles") {
        epss(&db, sink).map_err(Refusal::from_error)?;
    }
    if has("known_exploited_vulnerability_handles") {
        kev(&db, sink).map_err(Refusal::from_error)?;
    }
    Ok(())
}

fn blob<T: Default + for<'a> Deserialize<'a>>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    let text: Option<String> = row.get(at)?;
    Ok(text.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default())
}

fn vulnerabilities(db: &Connection, tables: &[&str], sink: Sink<'_>) -> rusqlite::Result<()> {
    let mut statement = db.prepare(VULNERABILITIES)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let status: Option<String> = row.get(2)?;
        let provider: Option<String> = row.get(6)?;
        let provider = provider.unwrap_or_default();
        let b: Blob = blob(row, 7)?;
        let withdrawn: Option<String> = row.get(5)?;
        let rejected = matches!(status.as_deref(), Some("rejected" | "withdrawn"));
        let mut advisory = Advisory {
            id: if super::is_cve(&name) { format!("{name}#{provider}") } else { name.clone() },
            aliases: b.aliases,
            published: row.get(3)?,
            modified: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
            withdrawn: withdrawn.or_else(|| rejected.then(|| "rejected".to_owned())),
            details: b.description,
            references: b.refs.into_iter().map(|r| Reference::web(r.url)).collect(),
            severity: b.severities.into_iter().filter_map(rating).collect(),
            ..Advisory::default()
        };
        if super::is_cve(&name) {
            advisory.aliases.push(name);
        }
        for table in tables {
            packages(db, table, id, &mut advisory)?;
        }
        sink(Item::Advisory(Box::new(advisory)));
    }
    Ok(())
}

fn rating(r: Rated) -> Option<Rating> {
    let severity = match &r.value {
        Value::String(word) => Rating::label(word.as_str()),
        value => Rating::vector(value.get("vector").and_then(Value::as_str)?),
    };
    let known = r.scheme.is_empty() || matches!(r.scheme.as_str(), "CVSS" | "CHMLN" | "HML" | "CHML");
    known.then_some(match r.source {
        Some(source) if !source.is_empty() => severity.by(source),
        _ => severity,
    })
}

fn packages(db: &Connection, table: &str, id: i64, advisory: &mut Advisory) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(&PACKAGES.replace("{table}", table))?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let text = |at: usize| row.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
        let (kind, name) = (text(0)?, text(1)?);
        let os = Os {
            name: text(2)?,
            major: text(3)?,
            minor: text(4)?,
            label: text(5)?,
            codename: text(6)?,
            channel: text(7)?,
        };
        let b: PackageBlob = blob(row, 8)?;
        let ecosystem = if os.name.is_empty() { language(&kind).map(str::to_owned) } else { os.ecosystem() };
        let Some(ecosystem) = ecosystem else { continue };
        advisory.upstream.extend(b.cves.iter().cloned());
        let module = b.qualifiers.and_then(|q| q.rpm_modularity).filter(|m| !m.is_empty());
        let not_affected = table.starts_with("unaffected");
        for span in &b.ranges {
            let Some(mut a) = affected(&ecosystem, &name, span) else { continue };
            if not_affected {
                a.status = Some(Status::NotAffected);
            }
            a.names = if os.name.is_empty() { NameKind::Default } else { NameKind::Any };
            a.module.clone_from(&module);
            advisory.affected.push(a);
        }
    }
    advisory.upstream.sort_unstable();
    advisory.upstream.dedup();
    let own = advisory.aliases.clone();
    advisory.upstream.retain(|c| !own.contains(c));
    Ok(())
}

fn affected(ecosystem: &str, name: &str, span: &Span) -> Option<Affected> {
    let scheme = scope::scheme(ecosystem);
    let constraint = span.version.constraint.trim();
    let set = match constraint {
        "" | "none (unknown)" | "none" => VersionSet::all(scheme),
        text => VersionSet::parse(scheme, text).ok()?,
    };
    let mut a = Affected::new(ecosystem, name);
    a.ranges = set.ranges();
    if let Some(fix) = &span.fix {
        match fix.state.as_str() {
            "wont-fix" => a.status = Some(Status::WillNotFix),
            "not-fixed" => a.status = Some(Status::Affected),
            _ => a.fixed.extend(Some(fix.version.clone()).filter(|v| !v.is_empty())),
        }
    }
    Some(a)
}

struct Os {
    name: String,
    major: String,
    minor: String,
    label: String,
    codename: String,
    channel: String,
}

impl Os {
    fn ecosystem(&self) -> Option<String> {
        let (major, minor) = (self.major.as_str(), self.minor.as_str());
        let both = if minor.is_empty() { major.to_owned() } else { format!("{major}.{minor}") };
        Some(match self.name.as_str() {
            "debian" if !major.is_empty() => format!("Debian:{major}"),
            "debian" => scope::canonical(&format!(
                "Debian:{}",
                if self.label.is_empty() { &self.codename } else { &self.label }
            )),
            "ubuntu" if self.channel.contains("esm") => format!("Ubuntu:Pro:{both}"),
            "ubuntu" => format!("Ubuntu:{both}"),
            "alpine" if major.is_empty() => "Alpine:edge".into(),
            "alpine" => format!("Alpine:v{both}"),
            "redhat" | "rhel" | "centos" if self.channel.is_empty() => format!("Red Hat:{major}"),
            "redhat" | "rhel" => format!("Red Hat:rhel_{}:{both}", self.channel),
            "almalinux" => format!("AlmaLinux:{major}"),
            "rocky" | "rockylinux" => format!("Rocky Linux:{major}"),
            "oraclelinux" | "ol" => format!("Oracle Linux:{major}"),
            "amazonlinux" | "amzn" => format!("Amazon Linux:{}", if major == "2018" { "1" } else { major }),
            "fedora" => format!("Fedora:{major}"),
            "sles" | "suse" => format!("SUSE:{}", if minor == "0" { major } else { both.as_str() }),
            "mariner" => format!("CBL-Mariner:{both}"),
            "azurelinux" => format!("Azure Linux:{both}"),
            "photon" => format!("Photon OS:{both}"),
            "wolfi" => "Wolfi".into(),
            "chainguard" => "Chainguard".into(),
            "minimos" => "MinimOS".into(),
            "echo" => "Echo".into(),
            "arch" | "archlinux" => "Arch Linux".into(),
            _ => return None,
        })
    }
}

fn language(kind: &str) -> Option<&'static str> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "npm" | "javascript" => "npm",
        "python" | "pypi" => "PyPI",
        "java-archive" | "maven" | "java" => "Maven",
        "go-module" | "go" | "golang" => "Go",
        "rust-crate" | "cargo" | "rust" => "crates.io",
        "gem" | "rubygems" | "ruby" => "RubyGems",
        "php-composer" | "composer" | "packagist" | "php-composer-installed" => "Packagist",
        "dotnet" | "nuget" => "NuGet",
        "dart-pub" | "pub" => "Pub",
        "hex" | "erlang-otp" => "Hex",
        "swift" | "swifturl" => "SwiftURL",
        "github-action" => "GitHub Actions",
        "bitnami" => "Bitnami",
        "hackage" | "haskell" => "Hackage",
        "conan" => "ConanCenter",
        _ => return None,
    })
}

fn epss(db: &Connection, sink: Sink<'_>) -> rusqlite::Result<()> {
    let mut statement = db.prepare("SELECT cve, epss, percentile FROM epss_handles ORDER BY cve")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        sink(Item::Epss(EpssScore { cve: row.get(0)?, score: row.get(1)?, percentile: row.get(2)? }));
    }
    Ok(())
}

fn kev(db: &Connection, sink: Sink<'_>) -> rusqlite::Result<()> {
    let sql = "SELECT k.cve, b.value FROM known_exploited_vulnerability_handles k \
               LEFT JOIN blobs b ON b.id = k.blob_id ORDER BY k.cve, k.id";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let e: Exploited = blob(row, 1)?;
        sink(Item::Kev(KevEntry {
            cve: row.get(0)?,
            name: e.vulnerability_name,
            added: e.date_added.chars().take(10).collect(),
            due: e.due_date.chars().take(10).collect(),
            ransomware: e.known_ransomware_campaign_use.eq_ignore_ascii_case("known"),
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"
      CREATE TABLE blobs (id integer PRIMARY KEY, value text NOT NULL);
      CREATE TABLE vulnerability_handles (id integer PRIMARY KEY, name text NOT NULL, status text NOT NULL, published_date datetime, modified_date datetime, withdrawn_date datetime, provider_id text NOT NULL, blob_id integer);
      CREATE TABLE operating_systems (id integer PRIMARY KEY, name text, release_id text, major_version text, minor_version text, label_version text, codename text, channel text, eol_date datetime, eoas_date datetime);
      CREATE TABLE packages (id integer PRIMARY KEY, ecosystem text, name text);
      CREATE TABLE affected_package_handles (id integer PRIMARY KEY, vulnerability_id integer NOT NULL, operating_system_id integer, package_id integer, blob_id integer);
      CREATE TABLE epss_handles (id integer PRIMARY KEY, cve text, epss real, percentile real);
      CREATE TABLE known_exploited_vulnerability_handles (id integer PRIMARY KEY, cve text, blob_id integer);
      INSERT INTO blobs VALUES (1, '{"id":"CVE-2024-1000","description":"d","severities":[{"scheme":"CHMLN","value":"high","rank":1}]}'),
        (2, '{"ranges":[{"version":{"type":"dpkg","constraint":"< 7.88.1-10+deb12u5"},"fix":{"version":"7.88.1-10+deb12u5","state":"fixed"}}]}'),
        (3, '{"known_ransomware_campaign_use":"Known","date_added":"2024-01-02T00:00:00Z"}');
      INSERT INTO vulnerability_handles VALUES (1, 'CVE-2024-1000', 'active', '2024-01-01', NULL, NULL, 'debian', 1);
      INSERT INTO operating_systems VALUES (1, 'debian', 'debian', '12', '', '', 'bookworm', '', NULL, NULL);
      INSERT INTO packages VALUES (1, 'deb', 'curl');
      INSERT INTO affected_package_handles VALUES (1, 1, 1, 1, 2);
      INSERT INTO epss_handles VALUES (1, 'CVE-2024-1000', 0.5, 0.9);
      INSERT INTO known_exploited_vulnerability_handles VALUES (1, 'CVE-2024-1000', 3);"#;

    #[test]
    fn the_published_schema_is_read_from_bytes() {
        let mut db = Connection::open_in_memory().expect("sqlite");
        db.execute_batch(SCHEMA).expect("schema");
        let bytes = db.serialize("main").expect("serialize");
        let mut items = Vec::new();
        read(&bytes, &mut |i| items.push(i)).expect("database");
        let Item::Advisory(a) = &items[0] else { panic!("no advisory") };
        assert_eq!(a.affected[0].package.as_ref().map(|p| p.ecosystem.as_str()), Some("Debian:12"));
        assert_eq!(a.affected[0].ranges[0].events[1].version(), "7.88.1-10+deb12u5");
        assert_eq!(a.aliases, ["CVE-2024-1000"]);
        assert!(matches!(&items[1], Item::Epss(e) if e.score > 0.4));
        assert!(matches!(&items[2], Item::Kev(k) if k.ransomware && k.added == "2024-01-02"));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let mut bytes = b"SQLite format 3\0".to_vec();
        bytes.resize(4096, 7);
        assert!(read(&bytes, &mut |_| ()).is_err());
    }
}
