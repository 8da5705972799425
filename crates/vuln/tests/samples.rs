//! Real samples of archives in archives and of binaries that name their dependencies: exactly the packages that Syft
//! 1.51 finds in them (`fixtures/samples.txt`).

use std::collections::BTreeSet;
use std::path::Path;

use vuln::extract::{Cataloguer, FileInfo};
use vuln::{Limits, Mode, Purl, merge};

#[test]
fn every_package_of_the_samples_is_found_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let expected = std::fs::read_to_string(folder.join("samples.txt")).expect("list");
    let lines = || expected.lines().map(|line| line.split_once(' ').expect("file and package"));
    for file in lines().map(|(file, _)| file).collect::<BTreeSet<_>>() {
        let content = std::fs::read(folder.join(file)).expect("sample");
        let limits = Limits::default();
        let mut cataloguer = Cataloguer::new(Mode::Image, &limits);
        let info = FileInfo::new(file, content.len() as u64, 0o755);
        cataloguer.file(&info, &mut content.as_slice()).expect("within limits");
        let inventory = merge(&[cataloguer.finish_directory()]);
        assert_eq!(inventory.problems, [], "{file}");
        let found: BTreeSet<String> =
            inventory.packages.iter().map(|p| format!("{} {}", p.full_name(), p.version)).collect();
        let wanted = lines().filter(|(of, _)| *of == file).map(|(_, text)| {
            let package = Purl::parse(text).expect("package URL").to_package();
            format!("{} {}", package.full_name(), package.version)
        });
        assert_eq!(found, wanted.collect(), "{file}");
    }
}
