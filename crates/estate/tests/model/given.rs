//! Small worlds in which things meet often: few names, few versions, few advisories, several feeds.

use estate::search::{Condition, Query, Statement, VersionRange};
use oci::Digest;
use proptest::collection::vec;
use proptest::prelude::*;
use vuln::advisory::import::Item;
use vuln::advisory::{Advisory, Affected, Rating, Status};
use vuln::db::{FeedDraft, ShrinkPolicy, Update};
use vuln::vers::{Comparator, Constraint};
use vuln::{Distro, Evidence, Inventory, Package, PackageKind, Purl, SourcePackage, Vers};

/// What happens to an estate.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Add(Digest, Box<Inventory>, Vec<i64>),
    Remove(Digest),
    Place(i64, Digest, bool),
}

fn image() -> impl Strategy<Value = Digest> {
    (0u8..8).prop_map(|n| {
        let algorithm = if n % 4 == 3 { oci::Algorithm::Sha512 } else { oci::Algorithm::Sha256 };
        Digest::of(algorithm, &[n])
    })
}

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (image(), inventory(), vec(0i64..5, 0..3)).prop_map(|(i, v, p)| Step::Add(i, Box::new(v), p)),
        1 => image().prop_map(Step::Remove),
        2 => (0i64..5, image(), any::<bool>()).prop_map(|(p, i, placed)| Step::Place(p, i, placed)),
    ];
    vec(step, 1..most)
}

fn distro() -> impl Strategy<Value = Option<Distro>> {
    let one = |id: &str, version: &str| {
        Some(Distro { id: id.to_owned(), version_id: version.to_owned(), ..Distro::default() })
    };
    prop_oneof![
        Just(None),
        Just(one("debian", "12")),
        Just(one("debian", "11")),
        Just(one("almalinux", "8.9"))
    ]
}

const VERSIONS: [&str; 5] = ["1.0", "1.5", "2.0", "2.0.1", "3.0"];
const LANGUAGES: [(PackageKind, &str); 6] = [
    (PackageKind::Npm, "lodash"),
    (PackageKind::Npm, "babel/core"),
    (PackageKind::Pypi, "Flask_Login"),
    (PackageKind::Maven, "org.apache/log4j-core"),
    (PackageKind::Maven, "org.other/core"),
    (PackageKind::Generic, "core"),
];

fn package(number: usize, distro: Option<&Distro>) -> BoxedStrategy<Package> {
    let system = distro.map(|d| d.id.clone());
    let facts = (0usize..LANGUAGES.len(), 0usize..VERSIONS.len(), 0usize..4, 0u8..8);
    facts
        .prop_map(move |(language, version, extra, bits)| {
            let version = VERSIONS[version];
            let (kind, name) = LANGUAGES[language];
            let mut package = Package::scoped(kind, name, version);
            let mut path = format!("app/{number}/{name}");
            if let (Some(id), true) = (&system, bits & 1 == 0) {
                let deb = id == "debian";
                package =
                    Package::new(if deb { PackageKind::Deb } else { PackageKind::Rpm }, "libssl", version);
                package.arch = Some(["amd64", "arm64"][extra % 2].into());
                if extra < 2 {
                    let source = SourcePackage { name: "openssl".into(), version: version.into() };
                    package.source = Some(source);
                }
                if !deb && extra == 3 {
                    package.module = Some("ssl:1".into());
                }
                if bits & 6 == 6 {
                    package.supplier = Some("Docker Inc <support@docker.com>".into());
                }
                path = format!("var/lib/{number}");
            }
            package.evidence = vec![Evidence { layer: None, path }];
            package.licenses = match extra {
                0 => vec!["MIT".into()],
                1 => vec!["MIT OR Apache-2.0".into()],
                2 => vec!["GPL-3.0-only AND MIT".into(), "Apache-2.0".into()],
                _ => Vec::new(),
            };
            if bits & 4 == 4 {
                package.hashes = vec![format!("sha1:{}", version.bytes().next().unwrap_or(b'0'))];
            }
            package
        })
        .boxed()
}

fn inventory() -> impl Strategy<Value = Inventory> {
    distro().prop_flat_map(|distro| {
        let packages: Vec<_> = (0..6).map(|n| package(n, distro.as_ref())).collect();
        (packages, 0usize..7, 0usize..3).prop_map(move |(mut packages, keep, owned)| {
            packages.truncate(keep);
            let suppressed = packages.split_off(packages.len() - owned.min(packages.len()));
            Inventory { distro: distro.clone(), packages, suppressed, problems: Vec::new() }
        })
    })
}

const NAMES: [&str; 6] = ["CVE-2026-1", "CVE-2026-2", "GHSA-a", "DSA-1", "ALSA-1#a", "ALSA-1"];
const PLACES: [(&str, &str); 8] = [
    ("npm", "lodash"),
    ("npm", "@babel/core"),
    ("PyPI", "flask-login"),
    ("Maven", "org.apache:log4j-core"),
    ("Debian:12", "openssl"),
    ("Debian:11", "libssl"),
    ("AlmaLinux:8", "libssl"),
    ("AlmaLinux:8", "openssl"),
];

fn advisory() -> impl Strategy<Value = Advisory> {
    let rating = proptest::option::of(prop_oneof![
        Just(Rating::label("high")),
        Just(Rating::label("low")),
        Just(Rating::label("medium").by("ghsa")),
        Just(Rating::vector("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")),
    ]);
    let affected = (0..PLACES.len(), proptest::option::of(0..VERSIONS.len()), 0u8..8, rating.clone())
        .prop_map(|(place, end, bits, rating)| {
            let (ecosystem, name) = PLACES[place];
            let mut affected = Affected::new(ecosystem, name).until(end.map(|e| VERSIONS[e]));
            if bits == 0 {
                affected = affected.with_status(Status::NotAffected);
            }
            if bits == 1 {
                affected.versions = vec!["2.0".into()];
            }
            if bits == 2 && ecosystem.starts_with("Alma") {
                affected.module = Some("ssl:1".into());
            }
            affected.severity.extend(rating);
            affected
        });
    let names = vec(0..NAMES.len(), 0..2);
    (0..NAMES.len(), names.clone(), names.clone(), names, vec(affected, 0..3), rating, 0u8..6).prop_map(
        |(id, aliases, upstream, related, affected, rating, bits)| {
            let name = |all: Vec<usize>| all.into_iter().map(|n| NAMES[n].to_owned()).collect();
            Advisory {
                id: NAMES[id].into(),
                aliases: name(aliases),
                upstream: name(upstream),
                related: name(related),
                severity: rating.into_iter().collect(),
                affected,
                withdrawn: (bits == 0).then(|| "2026-01-01T00:00:00Z".into()),
                ..Advisory::default()
            }
        },
    )
}

/// A state of a database, shown by its advisories.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) bytes: Vec<u8>,
    said: Vec<Vec<Advisory>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for advisory in self.said.iter().flatten() {
            write!(f, "{} {:?} {:?} ", advisory.id, advisory.aliases, advisory.upstream)?;
            writeln!(f, "{:?} {:?} {:?}", advisory.related, advisory.severity, advisory.withdrawn)?;
            for affected in &advisory.affected {
                writeln!(f, "  {affected:?}")?;
            }
        }
        Ok(())
    }
}

/// States of a database: each changes some feeds of the one before.
pub(crate) fn db_steps(count: usize) -> impl Strategy<Value = Vec<State>> {
    let feed = (0usize..3, vec(advisory(), 0..5));
    vec(vec(feed, 1..3), count).prop_map(|states| {
        let mut feeds: [Vec<Advisory>; 3] = Default::default();
        let mut out = Vec::new();
        for changes in states {
            for (feed, advisories) in changes {
                feeds[feed] = advisories;
            }
            let mut update = Update::new();
            for (name, advisories) in ["alma", "debian", "ghsa"].into_iter().zip(&feeds) {
                let mut draft = FeedDraft::new(name, name, "2026-01-01T00:00:00Z");
                advisories.iter().for_each(|a| draft.add(Item::Advisory(Box::new(a.clone()))));
                update.put(draft, ShrinkPolicy::Allow).unwrap();
            }
            out.push(State { bytes: update.finish(), said: feeds.to_vec() });
        }
        out
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let texts = |all: &'static [&'static str]| proptest::sample::select(all).prop_map(str::to_owned);
    prop_oneof![
        texts(&[
            "lodash",
            "core",
            "@babel/core",
            "FLASK-login",
            "org.apache:log4j-core",
            "libssl",
            "org.other"
        ])
        .prop_map(Condition::Name),
        texts(&["*core", "l*", "*", "@babel/*", "org.*", "flask*", "*4j*"]).prop_map(Condition::Name),
        texts(&[
            "pkg:npm/lodash",
            "pkg:npm/%40babel/core@1.0",
            "pkg:maven/org.apache/log4j-core",
            "pkg:maven/core",
            "pkg:deb/debian/libssl",
            "pkg:pypi/flask-login@2.0",
            "pkg:rpm/almalinux/libssl@3.0",
        ])
        .prop_map(|p| Condition::Purl(Purl::parse(&p).unwrap())),
        proptest::sample::select(&[PackageKind::Npm, PackageKind::Deb, PackageKind::Gem][..])
            .prop_map(Condition::Kind),
        texts(&["debian", "Debian:12", "AlmaLinux:8", "fedora"]).prop_map(Condition::Distribution),
        texts(&["MIT", "Apache-2.0", "GPL-3.0-only", "0BSD"]).prop_map(Condition::License),
        texts(&["lodash", "app/*/lodash", "**/log4j-*", "var/**", "app/?/core", "*", "a*/**"])
            .prop_map(Condition::Path),
        texts(&["sha1:49", "sha1:50", "sha1:9"]).prop_map(Condition::Hash),
        texts(&["CVE-2026-1", "CVE-2026-2", "GHSA-a", "DSA-1", "ALSA-1"]).prop_map(Condition::Vulnerability),
        (0..VERSIONS.len(), any::<bool>()).prop_map(|(v, less)| {
            let comparator = if less { Comparator::Less } else { Comparator::GreaterOrEqual };
            Condition::Version(VersionRange::Compare(vec![Constraint::new(comparator, VERSIONS[v])]))
        }),
        texts(&["vers:npm/<2.0.0", "vers:deb/>=1.5|<3.0", "vers:maven/2.0"])
            .prop_map(|v| Condition::Version(VersionRange::Vers(Vers::parse(&v).unwrap()))),
    ]
}

pub(crate) fn queries() -> impl Strategy<Value = Vec<Query>> {
    let statement = vec(condition(), 1..4)
        .prop_map(|conditions| Statement { conditions })
        .prop_filter("chooses no package", |s| s.conditions.iter().any(Condition::chooses));
    vec(vec(statement, 1..3).prop_map(|statements| Query { statements }), 1..6)
}
