//! What is looked at beside packages is looked at in every file, whatever else reads it.

mod common;

use common::Layer;
use oci::Digest;
use vuln::look::{Interest, Look, MalwareList, Seen, combine};
use vuln::{LayerResult, Limits, Mode, Pulse, catalogue_layer_with};

fn look(layer: &[u8], interest: Interest<'_>) -> (LayerResult, Seen) {
    let mut look = Look::new(interest);
    let result = catalogue_layer_with(&layer, Mode::Image, &Limits::default(), &|| Pulse::Go, &mut look);
    (result.expect("a sound layer"), look.finish())
}

#[test]
fn malware_is_found_in_files_that_extractors_read_too_whatever_their_size() {
    let size = 20 << 20;
    let beginnings: [(&str, &[u8]); 5] = [
        ("usr/bin/tool", b"\x7fELF\x02\x01\x01"),
        ("srv/fat.jar", b"PK\x03\x04"),
        ("app/package.json", b"{\"name\":\"a\",\"version\":\"1\"}"),
        ("usr/lib/debug/big.debug", b"\x7fELF"),
        ("data/plain", b"x"),
    ];
    for (path, beginning) in beginnings {
        for length in [beginning.len(), size] {
            let mut content = beginning.to_vec();
            content.resize(length, 0);
            let list = MalwareList::parse(&format!("{} Evil.Tool\n", Digest::sha256(&content).hex()));
            let list = list.expect("a list");
            let interest = Interest { malware: Some(&list), ..Interest::default() };
            let (_, seen) = look(&Layer::new().file(path, &content).file("other", "y").bytes(), interest);
            let found: Vec<_> = seen.malware.iter().map(|m| (m.path.as_str(), m.name.as_str())).collect();
            assert_eq!(found, [(path, "Evil.Tool")], "{length} bytes");
        }
    }
}

#[test]
fn directories_that_everybody_may_write_to_are_found_and_a_later_mode_decides() {
    let directory = |path: &str, mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_path(path).expect("short");
        header.set_mode(mode);
        header.set_size(0);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let layer = |entries: &[Vec<u8>]| {
        let mut bytes = entries.concat();
        bytes.extend([0; 1024]);
        bytes
    };
    let interest = Interest { misconfig: true, ..Interest::default() };
    let open = [directory("srv/open/", 0o777), directory("tmp/", 0o1777), directory("srv/closed/", 0o2755)];
    let (lower, seen) = look(&layer(&open), interest);
    let paths = |seen: &Seen| -> Vec<(String, String)> {
        seen.misconfigurations.iter().map(|f| (f.id.clone(), f.path.clone())).collect()
    };
    let alone = combine(std::slice::from_ref(&lower), vec![seen.clone()]);
    assert_eq!(paths(&alone), [("BD-FS-002".to_owned(), "srv/open".to_owned())]);

    let (same, again) = look(&layer(&open), interest);
    let twice = combine(&[lower.clone(), same], vec![seen.clone(), again]);
    assert_eq!(twice.misconfigurations.len(), 1, "stated twice, found once");

    let (upper, nothing) = look(&layer(&[directory("srv/open/", 0o755)]), interest);
    assert_eq!(paths(&combine(&[lower, upper], vec![seen, nothing])), Vec::new(), "closed by a later layer");
}
