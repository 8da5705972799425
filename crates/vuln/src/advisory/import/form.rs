//! Recognising what a document is, from its own first bytes and members.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A published form of advisory data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// OSV JSON: one record, or a list of records.
    OsvJson,
    /// OSV YAML (PyPA).
    OsvYaml,
    /// Any of the JSON forms, one document a line.
    JsonLines,
    /// ruby-advisory-db.
    RubyAdvisory,
    /// RustSec's advisory-db.
    RustSec,
    /// RetireJS.
    RetireJs,
    /// FriendsOfPHP security advisories.
    FriendsOfPhp,
    /// Alpine, Wolfi and Chainguard security database.
    SecdbJson,
    /// The same as YAML.
    SecdbYaml,
    /// Debian security tracker `data/json`.
    DebianTracker,
    /// `DSA/list` and `DLA/list`.
    DebianList,
    /// One DSA or DLA as a JSON record (`id`, `cves`, `fix`).
    DebianRecord,
    /// Ubuntu security notices, `database.json`.
    UbuntuNotices,
    /// One Ubuntu security notice of `notices.json`.
    UbuntuNotice,
    /// CSAF 2.0, advisories and VEX (Red Hat, SUSE).
    Csaf,
    /// `updateinfo.xml` (Amazon Linux and other rpm repositories).
    Updateinfo,
    /// OVAL definitions (Oracle, Azure Linux, Red Hat, SUSE).
    Oval,
    /// EPSS scores.
    EpssCsv,
    /// CISA KEV.
    KevJson,
    /// CISA KEV as CSV.
    KevCsv,
    /// Trivy's database in the form of its fixtures.
    TrivyYaml,
    /// Trivy's published database (bbolt).
    TrivyBolt,
    /// Grype's published database, version 6 (SQLite).
    GrypeSqlite,
    /// Node.js security working group.
    NodejsWg,
    /// endoflife.date release data.
    EndOfLifeJson,
    /// Newest versions as package URLs, one a line.
    PackageUrls,
    /// npm's document of a package.
    NpmPackument,
    /// PyPI's document of a project.
    PypiProject,
    /// A line of crates.io's index.
    CratesIndex,
}

#[derive(Deserialize)]
struct Members {
    id: Option<IgnoredAny>,
    modified: Option<IgnoredAny>,
    affected: Option<IgnoredAny>,
    #[serde(rename = "schema_version")]
    schema_version: Option<IgnoredAny>,
    document: Option<IgnoredAny>,
    #[serde(rename = "catalogVersion")]
    catalog_version: Option<IgnoredAny>,
    vulnerabilities: Option<IgnoredAny>,
    packages: Option<IgnoredAny>,
    reponame: Option<IgnoredAny>,
    apkurl: Option<IgnoredAny>,
    cves: Option<IgnoredAny>,
    fix: Option<IgnoredAny>,
    release_packages: Option<IgnoredAny>,
    vulnerable_versions: Option<IgnoredAny>,
    vulnerable: Option<IgnoredAny>,
    releases: Option<IgnoredAny>,
    versions: Option<IgnoredAny>,
    notices: Option<IgnoredAny>,
    #[serde(rename = "dist-tags")]
    dist_tags: Option<IgnoredAny>,
    info: Option<IgnoredAny>,
    urls: Option<IgnoredAny>,
    vers: Option<IgnoredAny>,
    cksum: Option<IgnoredAny>,
}

impl Form {
    /// The form of a document, `None` if it is none of them.
    pub fn detect(name: &str, bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"SQLite format 3\0") {
            return Some(Self::GrypeSqlite);
        }
        if super::bolt::is_bolt(bytes) {
            return Some(Self::TrivyBolt);
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let start = bytes.iter().position(|b| !b.is_ascii_whitespace())?;
        let head = &bytes[start..bytes.len().min(start + 8192)];
        match head[0] {
            b'{' => json(name, &bytes[start..]),
            b'[' if is_dsa_list(head) => Some(Self::DebianList),
            b'[' => json_list(name, head),
            b'<' => xml(head),
            b'`' if is_rustsec(&bytes[start..]) => Some(Self::RustSec),
            // A YAML record may have kilobytes of text before the member that tells its form.
            _ if is_yaml(name) => yaml(&String::from_utf8_lossy(&bytes[start..])),
            _ => table(&String::from_utf8_lossy(head)),
        }
    }
}

/// A fence of TOML whose first table is that of an advisory.
fn is_rustsec(text: &[u8]) -> bool {
    let mut lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.next() == Some(super::rustsec::FENCE.as_bytes())
        && lines.find(|line| !line.starts_with(b"#")) == Some(b"[advisory]")
}

fn is_dsa_list(head: &[u8]) -> bool {
    head.get(1).is_some_and(u8::is_ascii_digit)
        && [b"DSA-", b"DLA-", b"DTSA"].iter().any(|m| has(head, &m[..]))
}

fn has(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

fn json_list(name: &str, head: &[u8]) -> Option<Form> {
    if has(head, b"\"cycle\"") {
        return Some(Form::EndOfLifeJson);
    }
    (has(head, b"\"affected\"") || (has(head, b"\"id\"") && name.ends_with(".json"))).then_some(Form::OsvJson)
}

fn json(name: &str, bytes: &[u8]) -> Option<Form> {
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Members>();
    let Ok(members) = stream.next()? else {
        // A member of an unexpected shape or a damaged document: let the likeliest reader say what is wrong.
        return has(&bytes[..bytes.len().min(4096)], b"\"affected\"").then_some(Form::OsvJson);
    };
    let rest = &bytes[stream.byte_offset()..];
    if rest.iter().any(|b| !b.is_ascii_whitespace()) {
        return (rest.first() == Some(&b'\n') || rest.first() == Some(&b'\r')).then_some(Form::JsonLines);
    }
    members.form(name, &bytes[..bytes.len().min(8192)])
}

impl Members {
    fn form(&self, name: &str, head: &[u8]) -> Option<Form> {
        let has_id = self.id.is_some();
        if self.document.is_some() && (has(head, b"csaf_version") || has(head, b"\"csaf_")) {
            Some(Form::Csaf)
        } else if self.dist_tags.is_some() {
            Some(Form::NpmPackument)
        } else if self.info.is_some() && self.urls.is_some() {
            Some(Form::PypiProject)
        } else if self.vers.is_some() && self.cksum.is_some() {
            Some(Form::CratesIndex)
        } else if self.catalog_version.is_some() && self.vulnerabilities.is_some() {
            Some(Form::KevJson)
        } else if has_id && self.cves.is_some() && self.fix.is_some() {
            Some(Form::DebianRecord)
        } else if self.notices.is_some() || (has_id && self.release_packages.is_some()) {
            Some(Form::UbuntuNotice)
        } else if has_id
            && (self.affected.is_some() || self.schema_version.is_some() || self.modified.is_some())
        {
            Some(Form::OsvJson)
        } else if self.packages.is_some() && (self.reponame.is_some() || self.apkurl.is_some()) {
            Some(Form::SecdbJson)
        } else if self.vulnerable_versions.is_some()
            || (self.vulnerable.is_some() && !name.contains("package"))
        {
            Some(Form::NodejsWg)
        } else if (self.releases.is_some() || self.versions.is_some()) && has(head, b"\"releaseDate\"")
            || has(head, b"\"eol\"") && self.releases.is_some()
        {
            Some(Form::EndOfLifeJson)
        } else if self.packages.is_some() && has(head, b"\"secfixes\"") {
            Some(Form::SecdbJson)
        } else {
            by_text(head)
        }
    }
}

/// Objects whose members are names: Debian's tracker, Ubuntu's notices, RetireJS's libraries.
fn by_text(head: &[u8]) -> Option<Form> {
    let issue = has(head, b"\"CVE-") || has(head, b"\"TEMP-");
    if issue && has(head, b"\"releases\"") && (has(head, b"\"repositories\"") || has(head, b"\"urgency\"")) {
        Some(Form::DebianTracker)
    } else if has(head, b"\"releases\"") && (has(head, b"\"isummary\"") || has(head, b"\"sources\"")) {
        Some(Form::UbuntuNotices)
    } else if [&b"\"vulnerabilities\""[..], b"\"identifiers\"", b"\"below\""].iter().all(|m| has(head, m)) {
        Some(Form::RetireJs)
    } else {
        None
    }
}

fn xml(head: &[u8]) -> Option<Form> {
    if has(head, b"oval_definitions") {
        Some(Form::Oval)
    } else if has(head, b"<updates") || has(head, b"<update ") {
        Some(Form::Updateinfo)
    } else {
        None
    }
}

fn is_yaml(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.ends_with(".yaml") || lower.ends_with(".yml")
}

fn table(head: &str) -> Option<Form> {
    let statement = head.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    if statement.is_some_and(|line| line.starts_with("pkg:")) {
        return Some(Form::PackageUrls);
    }
    let first = head.lines().next().unwrap_or_default().to_ascii_lowercase();
    if first.starts_with("#model_version") || first.starts_with("cve,epss") {
        return Some(Form::EpssCsv);
    }
    if first.starts_with("cveid,") || first.starts_with("\"cveid\",") || first.starts_with("cve,cvss3,epss") {
        return Some(Form::KevCsv);
    }
    None
}

fn yaml(text: &str) -> Option<Form> {
    let line = |prefix: &str| text.lines().any(|l| l.starts_with(prefix));
    if line("- bucket:") {
        Some(Form::TrivyYaml)
    } else if line("gem:") || line("engine:") || line("library:") {
        Some(Form::RubyAdvisory)
    } else if line("branches:") && (text.contains("composer://") || line("reference:") || line("link:")) {
        Some(Form::FriendsOfPhp)
    } else if line("apkurl:") || line("reponame:") || (line("packages:") && text.contains("secfixes:")) {
        Some(Form::SecdbYaml)
    } else if line("id:") && (line("affected:") || line("modified:")) {
        Some(Form::OsvYaml)
    } else {
        None
    }
}
