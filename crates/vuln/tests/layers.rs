//! Layers: whiteouts, replaced files, links, ownership, evidence.

mod common;

use common::{Layer, catalogue, names};
use tar::EntryType::{Link, Symlink};
use vuln::{LayerResult, Limits, Mode, Pulse, ScanError, catalogue_layer, merge};

fn dpkg(packages: &[(&str, &str)]) -> String {
    let stanza = |(name, version): &(&str, &str)| {
        format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n")
    };
    packages.iter().map(stanza).collect::<Vec<_>>().concat()
}

const NPM: &str = r#"{"name":"left-pad","version":"1.3.0"}"#;
const WHEEL: &str = "Metadata-Version: 2.1\nName: requests\nVersion: 2.31.0\n\n";

#[test]
fn a_whiteout_removes_what_lower_layers_have() {
    let lower = Layer::new()
        .file("app/node_modules/left-pad/package.json", NPM)
        .file("srv/x.dist-info/METADATA", WHEEL)
        .result();
    let upper = Layer::new().file("app/node_modules/.wh.left-pad", "").result();
    assert_eq!(names(&merge(&[lower.clone(), upper])), ["requests 2.31.0"]);
    let opaque = Layer::new()
        .file("srv/.wh..wh..opq", "")
        .file("srv/y.dist-info/METADATA", WHEEL.replace("requests", "new"))
        .result();
    assert_eq!(names(&merge(&[lower, opaque])), ["left-pad 1.3.0", "new 2.31.0"]);
}

#[test]
fn a_replaced_file_or_directory_counts_only_as_the_upper_layer_has_it() {
    let lower = Layer::new().file("app/package.json", NPM).result();
    let newer = Layer::new().file("app/package.json", NPM.replace("1.3.0", "1.4.0")).result();
    assert_eq!(names(&merge(&[lower.clone(), newer])), ["left-pad 1.4.0"]);
    let emptied = Layer::new().file("app/package.json", "{}").result();
    assert!(merge(&[lower.clone(), emptied]).packages.is_empty());
    let linked = Layer::new().link(Symlink, "app", "other").result();
    assert!(merge(&[lower, linked]).packages.is_empty());
}

#[test]
fn a_rewritten_database_keeps_the_layer_that_brought_each_package() {
    let base = Layer::new().file("var/lib/dpkg/status", dpkg(&[("a", "1"), ("b", "1")])).result();
    let top = Layer::new().file("var/lib/dpkg/status", dpkg(&[("a", "1"), ("b", "2"), ("c", "1")])).result();
    let inventory = merge(&[base.clone(), top.clone()]);
    let layer = |name: &str| {
        inventory
            .packages
            .iter()
            .find(|package| package.name == name)
            .and_then(|package| package.evidence.first()?.layer)
    };
    assert_eq!(names(&inventory), ["a 1", "b 2", "c 1"]);
    assert_eq!(layer("a"), base.diff_id);
    assert_eq!(layer("b"), top.diff_id);
    assert_eq!(layer("c"), top.diff_id);
}

#[test]
fn hard_links_share_the_content_of_their_target_wherever_it_lies() {
    let store = Layer::new().file("store/00/ab", NPM).link(
        Link,
        "app/node_modules/left-pad/package.json",
        "store/00/ab",
    );
    assert_eq!(names(&store.inventory()), ["left-pad 1.3.0"]);
    let known =
        Layer::new().file("a/package.json", NPM).link(Link, "b/package.json", "a/package.json").inventory();
    assert_eq!(known.packages.first().map(|package| package.evidence.len()), Some(2));
    let dangling = Layer::new().link(Link, "b/package.json", "nowhere").inventory();
    assert!(dangling.packages.is_empty());
}

#[test]
fn paths_of_upper_layers_are_resolved_through_links_of_lower_ones() {
    let base = Layer::new()
        .link(Symlink, "lib", "usr/lib")
        .file("usr/lib/apk/db/installed", "P:a\nV:1\n\n")
        .result();
    let upper = Layer::new().file("lib/apk/db/installed", "P:a\nV:2\n\n").result();
    assert_eq!(names(&merge(&[base, upper])), ["a 2"]);
}

#[test]
fn hostile_paths_stay_inside_and_hide_nothing() {
    let mut builder = tar::Builder::new(Vec::new());
    for path in ["../../var/lib/dpkg/status", "/abs/package.json"] {
        let content = if path.ends_with("json") { NPM.to_owned() } else { dpkg(&[("a", "1")]) };
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let name = header.as_gnu_mut().expect("gnu");
        name.name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).expect("append");
    }
    let inventory = merge(&[catalogue(&builder.into_inner().expect("tar"))]);
    assert_eq!(names(&inventory), ["a 1", "left-pad 1.3.0"]);
}

#[test]
fn files_of_official_packages_are_not_counted_twice_and_third_parties_do_not_suppress() {
    let status = "Package: python3-requests\nStatus: install ok installed\nMaintainer: Debian Python Team <team@tracker.debian.org>\nVersion: 2\n\n\
        Package: vendor-agent\nStatus: install ok installed\nMaintainer: Datadog Packages <package@datadoghq.com>\nVersion: 7\n\n";
    let image = Layer::new()
        .file("etc/os-release", "ID=debian\nVERSION_ID=12\n")
        .file("var/lib/dpkg/status", status)
        .file(
            "var/lib/dpkg/info/python3-requests.list",
            "/.\n/usr/lib/python3/dist-packages/requests-2.31.0.dist-info/METADATA\n",
        )
        .file(
            "var/lib/dpkg/info/vendor-agent.md5sums",
            "0123456789abcdef0123456789abcdef  opt/agent/x.dist-info/METADATA\n",
        )
        .file("usr/lib/python3/dist-packages/requests-2.31.0.dist-info/METADATA", WHEEL)
        .file("opt/agent/x.dist-info/METADATA", WHEEL.replace("requests", "agentlib"))
        .inventory();
    assert_eq!(names(&image), ["python3-requests 2", "vendor-agent 7", "agentlib 2.31.0"]);
    let suppressed: Vec<_> =
        image.suppressed.iter().map(|package| package.properties.get("owner").map(String::as_str)).collect();
    assert_eq!(suppressed, [Some("python3-requests")]);
}

#[test]
fn compression_is_told_by_the_bytes_and_the_diff_id_is_of_the_uncompressed_stream() {
    use std::io::Write;
    let plain = Layer::new().file("app/package.json", NPM).bytes();
    let mut multi = Vec::new();
    for part in plain.chunks(700) {
        let mut encoder = flate2::write::GzEncoder::new(&mut multi, flate2::Compression::fast());
        encoder.write_all(part).expect("gzip");
        encoder.finish().expect("gzip");
    }
    let mut zstd = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip".to_vec();
    zstd.extend(zstd::encode_all(plain.as_slice(), 3).expect("zstd"));
    let expected = oci::Digest::sha256(&plain);
    for bytes in [plain, multi, zstd] {
        let result = catalogue(&bytes);
        assert_eq!(result.diff_id.as_ref(), Some(&expected));
        assert_eq!(names(&merge(&[result])), ["left-pad 1.3.0"]);
    }
}

#[test]
fn a_layer_result_survives_storage() {
    let result = Layer::new()
        .file("var/lib/dpkg/info/a.list", "/x\n/y\n")
        .link(Symlink, "lib", "usr/lib")
        .directory("d")
        .result();
    let stored = serde_json::to_string(&result).expect("json");
    assert_eq!(serde_json::from_str::<LayerResult>(&stored).expect("json"), result);
}

#[test]
fn the_callers_clock_and_switch_end_the_scan() {
    let layer = Layer::new().file("big", vec![7_u8; 4 << 20]).bytes();
    let scan = |pulse: Pulse| catalogue_layer(&layer, Mode::Image, &Limits::default(), &move || pulse);
    assert!(matches!(scan(Pulse::TimeOver), Err(ScanError::Limit { limit: vuln::Limit::Time, .. })));
    assert!(matches!(scan(Pulse::Cancelled), Err(ScanError::Cancelled)));
    assert!(scan(Pulse::Go).is_ok());
}

#[test]
fn what_is_no_tar_archive_is_an_error_and_not_an_empty_image() {
    let scan = |bytes: &[u8]| catalogue_layer(&bytes, Mode::Image, &Limits::default(), &|| Pulse::Go);
    assert!(matches!(scan(&[b'x'; 2048]), Err(ScanError::Malformed { .. })));
    let mut truncated = Layer::new().file("app/package.json", vec![b' '; 5000]).bytes();
    truncated.truncate(3000);
    assert!(matches!(scan(&truncated), Err(ScanError::Malformed { .. })));
}
