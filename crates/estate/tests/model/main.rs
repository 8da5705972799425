//! An estate against the plainest model of one: a map from image to inventory and projects, matched and searched by
//! looking at everything.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod given;

use estate::findings::{Asked, Changed, Findings, Lines, Named, delta, full};
use estate::search::{Condition, Query, VersionRange, Window, search};
use estate::{Below, Estate, Tally, Visible, Writer, merge};
use given::{State, Step, db_steps, queries, steps};
use oci::Digest;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use vuln::db::Db;
use vuln::matching::{Options, match_inventory};
use vuln::{Inventory, Package, Purl};

type Model = BTreeMap<Digest, (Inventory, BTreeSet<i64>)>;

/// Plays steps into segments of some steps each and into the model.
fn play(steps: &[Step], in_each: usize) -> (Vec<Vec<u8>>, Model) {
    let (mut segments, mut model) = (Vec::new(), Model::new());
    for chunk in steps.chunks(in_each.max(1)) {
        let mut writer = Writer::new();
        for step in chunk {
            match step {
                Step::Add(image, inventory, projects) => {
                    writer.add(*image, inventory, projects);
                    model.insert(*image, (Inventory::clone(inventory), projects.iter().copied().collect()));
                }
                Step::Remove(image) => {
                    writer.remove(*image);
                    model.remove(image);
                }
                Step::Place(project, image, placed) => {
                    // What is said of images that are not there has no meaning.
                    let Some((_, projects)) = model.get_mut(image) else { continue };
                    if *placed {
                        projects.insert(*project);
                        writer.place(*project, *image);
                    } else {
                        projects.remove(project);
                        writer.take_away(*project, *image);
                    }
                }
            }
        }
        segments.push(writer.finish().unwrap());
    }
    (segments, model)
}

fn slices(all: &[Vec<u8>]) -> Vec<&[u8]> {
    all.iter().map(Vec::as_slice).collect()
}

fn check_contents(estate: &Estate<'_>, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(estate.images(), model.len() as u64);
    for (image, (inventory, projects)) in model {
        let at = estate.find(image).unwrap().expect("an image is missing");
        prop_assert_eq!(&estate.projects_of(at).unwrap().into_iter().collect::<BTreeSet<_>>(), projects);
        let mut held: Vec<(String, String, Vec<String>)> = estate
            .contents(at)
            .unwrap()
            .iter()
            .map(|s| {
                let paths = s.paths.iter().map(|p| (*p).to_owned()).collect();
                (s.package.name.to_owned(), s.package.version.to_owned(), paths)
            })
            .collect();
        let paths = |p: &Package| p.evidence.iter().map(|e| e.path.clone()).collect();
        let all = inventory.packages.iter().chain(&inventory.suppressed);
        let mut stated: Vec<_> = all.map(|p| (p.name.clone(), p.version.clone(), paths(p))).collect();
        held.sort();
        stated.sort();
        prop_assert_eq!(held, stated);
    }
    Ok(())
}

fn check_tallies(
    estate: &Estate<'_>,
    findings: &Findings<'_>,
    db: &Db<'_>,
    model: &Model,
) -> Result<(), TestCaseError> {
    let tallies: BTreeMap<Digest, Tally> = findings
        .tallies(estate)
        .unwrap()
        .into_iter()
        .map(|(at, t)| (estate.digest(at).unwrap(), t))
        .collect();
    prop_assert_eq!(tallies.len(), model.len());
    for (image, (inventory, _)) in model {
        let report = match_inventory(db, inventory, &Options::default()).unwrap();
        let tally = tallies[image];
        prop_assert_eq!((tally.all(), tally.fixable()), (report.all(), report.fixable()));
        let at = estate.find(image).unwrap().unwrap();
        prop_assert_eq!(findings.tally(estate, at).unwrap(), tally);
        prop_assert_eq!(findings.tally_without(estate, at, &|_, _| false).unwrap(), tally);
        prop_assert!(findings.tally_without(estate, at, &|_, _| true).unwrap().is_empty());
        let mut told: Vec<String> = findings
            .of_image(estate, at)
            .unwrap()
            .into_iter()
            .map(|(p, f)| format!("{} {}", p.name, f.id))
            .collect();
        let mut expected: Vec<String> = Vec::new();
        for package in &inventory.packages {
            let one = Inventory {
                distro: inventory.distro.clone(),
                packages: vec![package.clone()],
                ..Inventory::default()
            };
            let report = match_inventory(db, &one, &Options::default()).unwrap();
            expected.extend(report.counting().map(|f| format!("{} {}", package.name, f.id)));
        }
        told.sort();
        expected.sort();
        prop_assert_eq!(told, expected);
    }
    Ok(())
}

/// Lines by name are those that looking at every image finds, whether or not the images are found by the name.
fn check_lines(estate: &Estate<'_>, findings: &Findings<'_>) -> Result<(), TestCaseError> {
    let mut all = Vec::new();
    for at in estate.all_images().iter() {
        for (package, finding) in findings.of_image(estate, at).unwrap() {
            all.push((at, package.shown_name(), finding));
        }
    }
    let ids = all.iter().flat_map(|(_, _, f)| std::iter::once(&f.id).chain(&f.aliases));
    let ids = ids.map(|id| Asked { id: Some(id), ..Asked::default() });
    let names = all.iter().flat_map(|(_, name, f)| {
        let part = name.get(1..).unwrap_or(name);
        [(name.as_str(), false, None), (part, true, None), (name.as_str(), false, Some(f.severity))]
    });
    let names = names.map(|(text, part, severity)| Asked {
        package: Some(Named { text, part }),
        severity,
        ..Asked::default()
    });
    let asked: Vec<Asked<'_>> = ids.chain(names).take(40).collect();
    for asked in asked {
        let (mut walked, mut narrowed) =
            (Lines::new(estate, findings, &asked), Lines::new(estate, findings, &asked));
        let images = narrowed.narrow().unwrap();
        for at in estate.all_images().iter() {
            let lines = walked.of(at).unwrap();
            prop_assert_eq!(&narrowed.of(at).unwrap(), &lines);
            prop_assert_eq!(images.contains(at), !lines.is_empty());
            let expected = all.iter().filter(|(it, name, f)| {
                *it == at
                    && asked.id.is_none_or(|id| f.id == id || f.aliases.iter().any(|alias| alias == id))
                    && asked.severity.is_none_or(|severity| f.severity == severity)
                    && asked.package.is_none_or(|n| name == n.text || n.part && name.contains(n.text))
            });
            prop_assert_eq!(lines.len(), expected.count());
        }
    }
    Ok(())
}

/// Whether a package fulfils a condition, by looking.
fn fulfils(
    condition: &Condition,
    package: &Package,
    inventory: &Inventory,
    names: &BTreeSet<String>,
) -> bool {
    let glob = |pattern: &str, text: &str, folders: bool| {
        let glob = globset::GlobBuilder::new(pattern).literal_separator(folders).build().unwrap();
        glob.compile_matcher().is_match(text)
    };
    let fold = |text: &str| match vuln::advisory::scope::language(package.kind) {
        Some(e) => vuln::advisory::scope::normal_name(e, text).into_owned(),
        None => text.to_owned(),
    };
    match condition {
        Condition::Purl(purl) => {
            let own = Purl::of_package(package, inventory.distro.as_ref()).unwrap();
            let same = |a: Option<&str>, b: Option<&str>| a.is_none() || a == b;
            (own.ty(), own.name()) == (purl.ty(), purl.name())
                && same(purl.namespace(), own.namespace())
                && same(purl.version(), own.version())
        }
        Condition::Name(name) => {
            let (full, bare) = (fold(&package.full_name()), fold(&package.name));
            if name.contains('*') {
                glob(&fold(name), &full, false) || glob(&fold(name), &bare, false)
            } else {
                [full, bare].contains(&fold(name))
            }
        }
        Condition::Version(VersionRange::Compare(list)) => list.iter().all(|c| {
            let scheme = vuln::version::Scheme::of(package.kind);
            let order = vuln::version::compare(scheme, &package.version, &c.version).unwrap();
            match c.comparator {
                vuln::vers::Comparator::Less => order.is_lt(),
                vuln::vers::Comparator::GreaterOrEqual => order.is_ge(),
                _ => unreachable!("not given"),
            }
        }),
        Condition::Version(VersionRange::Vers(vers)) => {
            vers.ty() == vuln::version::Scheme::of(package.kind).name()
                && vers.contains(&package.version).unwrap()
        }
        Condition::Kind(kind) => package.kind == *kind,
        Condition::Distribution(name) => {
            let system = matches!(package.kind, vuln::PackageKind::Deb | vuln::PackageKind::Rpm);
            let distro = inventory.distro.as_ref().filter(|_| system);
            distro.is_some_and(|d| d.id == *name || vuln::advisory::scope::of_distro(d).contains(name))
        }
        Condition::License(id) => package.licenses.iter().any(|l| l.split(' ').any(|part| part == id)),
        Condition::Path(pattern) => package.evidence.iter().any(|e| {
            let pattern = if pattern.contains('/') { pattern.clone() } else { format!("**/{pattern}") };
            glob(&pattern, &e.path, true)
        }),
        Condition::Hash(hash) => package.hashes.contains(hash),
        Condition::Vulnerability(name) => names.contains(name),
    }
}

fn check_search(
    estate: &Estate<'_>,
    findings: &Findings<'_>,
    db: &Db<'_>,
    model: &Model,
    query: &Query,
    visible: Option<&[i64]>,
) -> Result<(), TestCaseError> {
    let mut expected: BTreeMap<Digest, usize> = BTreeMap::new();
    for (image, (inventory, projects)) in model {
        if visible.is_some_and(|v| !v.iter().any(|p| projects.contains(p))) {
            continue;
        }
        let mut hits = BTreeSet::new();
        let all = query.statements.iter().all(|statement| {
            let mut any = false;
            let packages = inventory.packages.iter().map(|p| (p, true));
            let packages = packages.chain(inventory.suppressed.iter().map(|p| (p, false)));
            for (number, (package, counts)) in packages.enumerate() {
                let mut names = BTreeSet::new();
                if counts {
                    let one = Inventory {
                        distro: inventory.distro.clone(),
                        packages: vec![package.clone()],
                        ..Inventory::default()
                    };
                    let report = match_inventory(db, &one, &Options::default()).unwrap();
                    names.extend(report.counting().flat_map(|f| f.aliases.iter().chain([&f.id]).cloned()));
                }
                if statement.conditions.iter().all(|c| fulfils(c, package, inventory, &names)) {
                    any = true;
                    hits.insert(number);
                }
            }
            any
        });
        if all {
            expected.insert(*image, hits.len());
        }
    }
    let visible = visible.map_or(Visible::All, Visible::Projects);
    let mut window = Window { visible, after: None, limit: 2, packages: 1 };
    let mut found = Vec::new();
    loop {
        let page = search(estate, findings, query, &window).unwrap();
        prop_assert_eq!(page.total, expected.len() as u64, "{:?}", query);
        prop_assert!(page.images.iter().all(|i| i.packages.len() == 1));
        found.extend(page.images.iter().map(|i| (i.digest, usize::try_from(i.matched).unwrap())));
        window.after = page.next;
        if window.after.is_none() {
            break;
        }
    }
    prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{:?}", query);
    Ok(())
}

proptest! {
    #[test]
    fn an_estate_is_what_was_said_of_it_and_merging_changes_nothing(
        steps in steps(24), in_each in 1usize..10, cut in 0usize..8,
    ) {
        let (segments, model) = play(&steps, in_each);
        let all = slices(&segments);
        let estate = Estate::open(&all).unwrap();
        estate.verify().unwrap();
        check_contents(&estate, &model)?;
        let whole = merge(&all, Below::Nothing).unwrap();
        let merged = Estate::open(&[&whole]).unwrap();
        check_contents(&merged, &model)?;
        prop_assert!(merged.packages() <= estate.packages());
        let cut = cut.min(all.len());
        let upper = merge(&all[cut..], if cut == 0 { Below::Nothing } else { Below::More }).unwrap();
        let stack: Vec<&[u8]> = all[..cut].iter().copied().chain([upper.as_slice()]).collect();
        check_contents(&Estate::open(&stack).unwrap(), &model)?;
    }

    #[test]
    fn counters_equal_those_of_a_scan_and_deltas_those_of_a_full_match(
        steps in steps(12), in_each in 1usize..8, states in db_steps(4),
    ) {
        let (segments, model) = play(&steps, in_each);
        let estate = Estate::open(&slices(&segments)).unwrap();
        let mut files = Vec::new();
        let mut before: Option<&Vec<u8>> = None;
        let mut last: BTreeMap<_, Tally> = BTreeMap::new();
        for State { bytes, .. } in &states {
            let db = Db::open(bytes).unwrap();
            match before {
                None => files.push(full(&estate, 0..estate.segments(), &db).unwrap()),
                Some(old) => {
                    let changed = Changed::between(&Db::open(old).unwrap(), &db).unwrap();
                    let findings = Findings::open(&slices(&files), &estate).unwrap();
                    let delta = delta(&estate, &findings, &db, &changed).unwrap();
                    for (at, by) in delta.tally_changes(&estate).unwrap() {
                        let tally = last.get_mut(&at).unwrap();
                        *tally = tally.changed(&by);
                    }
                    prop_assert_eq!(delta.file.is_empty(), delta.changes.is_empty());
                    if !delta.file.is_empty() {
                        files.push(delta.file);
                    }
                }
            }
            let findings = Findings::open(&slices(&files), &estate).unwrap();
            prop_assert!(findings.missing(&estate).is_empty());
            check_tallies(&estate, &findings, &db, &model)?;
            let now: BTreeMap<_, _> = findings.tallies(&estate).unwrap().into_iter().collect();
            if before.is_some() {
                prop_assert_eq!(&now, &last);
            }
            last = now;
            before = Some(bytes);
        }
    }

    #[test]
    fn a_search_finds_what_looking_at_everything_finds(
        steps in steps(14), in_each in 1usize..8, db in db_steps(1), queries in queries(),
        visible in proptest::option::of(proptest::collection::vec(0i64..5, 0..3)),
    ) {
        let (segments, model) = play(&steps, in_each);
        let estate = Estate::open(&slices(&segments)).unwrap();
        let db = Db::open(&db[0].bytes).unwrap();
        let file = full(&estate, 0..estate.segments(), &db).unwrap();
        let findings = Findings::open(&[&file], &estate).unwrap();
        check_lines(&estate, &findings)?;
        for query in &queries {
            check_search(&estate, &findings, &db, &model, query, visible.as_deref())?;
        }
    }

    #[test]
    fn changed_bytes_are_errors_or_answers_and_never_a_panic(
        steps in steps(6), at in any::<prop::sample::Index>(), to in any::<u8>(), db in db_steps(1),
        queries in queries(),
    ) {
        let (segments, _) = play(&steps, 100);
        let Some(segment) = segments.first() else { return Ok(()) };
        let whole = Estate::open(&[segment]).unwrap();
        let file = full(&whole, 0..1, &Db::open(&db[0].bytes).unwrap()).unwrap();
        let (mut segment, mut file) = (segment.clone(), file);
        let place = at.index(segment.len());
        segment[place] = to;
        let place = at.index(file.len());
        file[place] = to;
        if let Ok(estate) = Estate::open(&[&segment]) {
            let Ok(findings) = Findings::open(&[&file], &estate) else { return Ok(()) };
            let _ = (findings.tallies(&estate), estate.verify(), merge(&[&segment], Below::Nothing));
            let window = Window { visible: Visible::Projects(&[1, 2]), after: None, limit: 5, packages: 5 };
            for query in &queries {
                let _ = search(&estate, &findings, query, &window);
            }
        }
    }
}

/// Seeds of `fuzz/fuzz_targets/estate_bytes.rs`: two bytes of the segment's length, the segment, its findings.
/// `BONDED_WRITE_SEEDS=1` writes them anew after a change of the format.
#[test]
fn the_fuzzers_seeds_are_of_this_version() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/estate_bytes");
    #[expect(clippy::disallowed_methods, reason = "a switch of a test")]
    if std::env::var("BONDED_WRITE_SEEDS").is_ok() {
        for number in 0u8..4 {
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[number + 1; 32]);
            let mut runner = TestRunner::new_with_rng(Config::default(), rng);
            let all = (steps(10), db_steps(1)).new_tree(&mut runner).unwrap().current();
            let (segments, _) = play(&all.0, 100);
            let estate = Estate::open(&[&segments[0]]).unwrap();
            let findings = full(&estate, 0..1, &Db::open(&all.1[0].bytes).unwrap()).unwrap();
            let length = u16::try_from(segments[0].len()).unwrap().to_le_bytes();
            let seed = [&length[..], &segments[0], &findings].concat();
            std::fs::write(folder.join(number.to_string()), seed).unwrap();
        }
    }
    let mut read = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        let length = usize::from(u16::from_le_bytes([seed[0], seed[1]]));
        let estate = Estate::open(&[&seed[2..2 + length]]).unwrap();
        estate.verify().unwrap();
        Findings::open(&[&seed[2 + length..]], &estate).unwrap().tallies(&estate).unwrap();
        read += 1;
    }
    assert!(read >= 4, "{read}");
}
