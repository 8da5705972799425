//! Bombs end as a limit that is named, in bounded time and memory (reliability-security.md D4, I1).

mod common;

use std::io::{self, Read, Write};

use common::Layer;
use flate2::Compression;
use flate2::write::GzEncoder;
use vuln::{LayerSource, Limit, Limits, Mode, Pulse, ScanError, catalogue_layer};

/// A source whose bytes are made while they are read.
struct Made<F>(F);

impl<F: Fn() -> Box<dyn Read>> LayerSource for Made<F> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok((self.0)())
    }
}

fn scan_with(source: &dyn LayerSource, limits: &Limits) -> Result<(), ScanError> {
    catalogue_layer(source, Mode::Image, limits, &|| Pulse::Go).map(|_| ())
}

fn limit_of(source: &dyn LayerSource, limits: &Limits) -> Option<Limit> {
    match scan_with(source, limits) {
        Err(ScanError::Limit { limit, .. }) => Some(limit),
        Err(other) => {
            assert!(matches!(other, ScanError::Malformed { .. }), "{other:?}");
            None
        }
        Ok(()) => None,
    }
}

fn header(size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("big").expect("short");
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// One entry that claims 100 GB of zeros; the same small compressed part is given again and again.
fn gzip_bomb() -> Box<dyn Read> {
    let member = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).expect("gzip");
        encoder.finish().expect("gzip")
    };
    Box::new(
        io::Cursor::new(member(&header(100 << 30))).chain(Endless { part: member(&vec![0; 4 << 20]), at: 0 }),
    )
}

/// Repeats its part for ever.
struct Endless {
    part: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(self.part.len() - self.at);
        buf[..n].copy_from_slice(&self.part[self.at..self.at + n]);
        self.at = (self.at + n) % self.part.len();
        Ok(n)
    }
}

#[test]
fn a_gzip_bomb_ends_by_its_ratio() {
    assert_eq!(
        limit_of(&Made(gzip_bomb), &Limits { ratio_free_bytes: 256 << 20, ..Limits::default() }),
        Some(Limit::Ratio)
    );
}

#[test]
fn a_zstd_bomb_ends_by_its_ratio_and_a_huge_window_by_its_memory() {
    let mut content = header(1 << 40);
    content.resize(100 << 20, 0);
    let bomb = zstd::encode_all(content.as_slice(), 1).expect("zstd");
    assert!(bomb.len() < 100 << 10);
    assert_eq!(
        limit_of(&bomb, &Limits { ratio_free_bytes: 64 << 20, ..Limits::default() }),
        Some(Limit::Ratio)
    );
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("zstd");
    encoder.window_log(27).expect("window");
    encoder.include_contentsize(false).expect("option");
    encoder.write_all(&content[..64 << 20]).expect("zstd");
    assert_eq!(limit_of(&encoder.finish().expect("zstd"), &Limits::default()), Some(Limit::DecoderWindow));
}

#[test]
fn an_uncompressed_stream_without_end_ends_by_its_size() {
    let source =
        Made(|| Box::new(io::Cursor::new(header(u64::MAX >> 8)).chain(io::repeat(0))) as Box<dyn Read>);
    assert_eq!(
        limit_of(&source, &Limits { uncompressed_bytes: 256 << 20, ..Limits::default() }),
        Some(Limit::UncompressedSize)
    );
}

#[test]
fn ten_million_entries_end_by_their_number() {
    let source = Made(|| Box::new(Endless { part: header(0), at: 0 }) as Box<dyn Read>);
    assert_eq!(limit_of(&source, &Limits::default()), Some(Limit::Entries));
}

#[test]
fn a_million_links_end_by_their_number() {
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_path("a/b").expect("short");
    link.set_link_name("c").expect("short");
    link.set_size(0);
    link.set_cksum();
    let part = link.as_bytes().to_vec();
    let source = Made(move || Box::new(Endless { part: part.clone(), at: 0 }) as Box<dyn Read>);
    assert_eq!(limit_of(&source, &Limits::default()), Some(Limit::Links));
}

#[test]
fn a_sparse_file_of_ten_terabytes_ends_by_its_size() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_path("package.json").expect("short");
    header.set_size(0);
    let gnu = header.as_gnu_mut().expect("gnu");
    // Base-256: ten terabytes.
    gnu.realsize = [0x80, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0];
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend([0; 1024]);
    assert_eq!(limit_of(&bytes, &Limits::default()), Some(Limit::UncompressedSize));
}

#[test]
fn sizes_that_no_runtime_reads_are_refused() {
    let extended = |record: &str| {
        let text = format!("{} {record}\n", record.len() + 4);
        let mut pax = tar::Header::new_ustar();
        pax.set_entry_type(tar::EntryType::XHeader);
        pax.set_path("pax").expect("short");
        pax.set_size(text.len() as u64);
        pax.set_cksum();
        let mut bytes = pax.as_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.resize(1024, 0);
        bytes.extend(header(0));
        bytes.extend([0; 1024]);
        bytes
    };
    for record in
        ["size=18446744073709551615", "size=18446744073709551105", "size=9223372036854775808", "size=-1"]
    {
        let ended = scan_with(&extended(record), &Limits::default());
        assert!(matches!(ended, Err(ScanError::Malformed { what: "tar", .. })), "{record}: {ended:?}");
    }
    // Base-256 in the header itself.
    let mut large = tar::Header::new_gnu();
    large.set_path("big").expect("short");
    large.as_mut_bytes()[124..136].copy_from_slice(&[0x80, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    large.set_cksum();
    let ended = scan_with(&large.as_bytes().to_vec(), &Limits::default());
    assert!(matches!(ended, Err(ScanError::Malformed { what: "tar", .. })), "{ended:?}");
}

#[test]
fn a_path_of_five_megabytes_ends_by_its_length() {
    let long = "x".repeat(5 << 20);
    let layer = Layer::new().file(&long, "").bytes();
    assert_eq!(limit_of(&layer, &Limits::default()), Some(Limit::PathLength));
    let longer_than_allowed = Layer::new().file(&"y/".repeat(3000), "").bytes();
    assert_eq!(limit_of(&longer_than_allowed, &Limits::default()), Some(Limit::PathLength));
}

/// A zip with one stored or deflated member.
fn zip(name: &str, content: &[u8], deflate: bool) -> Vec<u8> {
    let packed = if deflate {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).expect("deflate");
        encoder.finish().expect("deflate")
    } else {
        content.to_vec()
    };
    let mut bytes = Vec::new();
    local(&mut bytes, name, &packed, content.len(), deflate);
    let at = bytes.len();
    central(&mut bytes, name, packed.len(), content.len(), deflate, 0);
    end(&mut bytes, 1, at);
    bytes
}

fn sizes(bytes: &mut Vec<u8>, packed: usize, size: usize) {
    bytes.extend([0; 4]);
    bytes.extend(u32::try_from(packed).expect("small").to_le_bytes());
    bytes.extend(u32::try_from(size).expect("small").to_le_bytes());
}

fn local(bytes: &mut Vec<u8>, name: &str, packed: &[u8], size: usize, deflate: bool) {
    bytes.extend(b"PK\x03\x04\x14\0\0\0");
    bytes.extend([if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0]);
    sizes(bytes, packed.len(), size);
    bytes.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(name.as_bytes());
    bytes.extend(packed);
}

fn central(bytes: &mut Vec<u8>, name: &str, packed: usize, size: usize, deflate: bool, offset: u32) {
    bytes.extend(b"PK\x01\x02\x14\0\x14\0\0\0");
    bytes.extend([if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0]);
    sizes(bytes, packed, size);
    bytes.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
    bytes.extend([0; 12]);
    bytes.extend(offset.to_le_bytes());
    bytes.extend(name.as_bytes());
}

fn end(bytes: &mut Vec<u8>, entries: u16, directory: usize) {
    let size = bytes.len() - directory;
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(entries.to_le_bytes());
    bytes.extend(entries.to_le_bytes());
    bytes.extend(u32::try_from(size).expect("small").to_le_bytes());
    bytes.extend(u32::try_from(directory).expect("small").to_le_bytes());
    bytes.extend([0, 0]);
}

#[test]
fn a_jar_nested_a_hundred_deep_ends_by_its_depth() {
    let mut jar = zip("a.class", b"x", false);
    for _ in 0..100 {
        jar = zip("inner.jar", &jar, false);
    }
    let layer = Layer::new().file("app/outer.jar", &jar).bytes();
    assert_eq!(limit_of(&layer, &Limits::default()), Some(Limit::NestingDepth));
}

#[test]
fn jars_nested_as_deeply_as_real_ones_are_read() {
    let pom = b"groupId=org.example\nartifactId=lib\nversion=1.2.3\n";
    let jar = zip("META-INF/maven/org.example/lib/pom.properties", pom, true);
    let war = zip("WEB-INF/lib/lib-1.2.3.jar", &jar, false);
    let ear = zip("app.war", &war, true);
    let inventory = Layer::new().file("srv/app.ear", &ear).inventory();
    let package = inventory.packages.first().expect("the library");
    assert_eq!((package.full_name().as_str(), package.version.as_str()), ("org.example:lib", "1.2.3"));
    assert_eq!(
        package.properties.get("nested-path").map(String::as_str),
        Some("app.war!/WEB-INF/lib/lib-1.2.3.jar")
    );
    assert_eq!(package.hashes.len(), 1);
}

#[test]
fn a_deflate_bomb_in_a_jar_ends_by_its_ratio() {
    let inner = zip("zeros", &vec![0; 600 << 20], true);
    assert!(inner.len() < 1 << 20);
    let layer = Layer::new().file("app/bomb.jar", &inner).bytes();
    assert_eq!(limit_of(&layer, &Limits::default()), Some(Limit::Ratio));
    let nested = Layer::new().file("app/bomb.jar", zip("inner.jar", &inner, false)).bytes();
    assert_eq!(limit_of(&nested, &Limits::default()), Some(Limit::Ratio));
    let fake = Layer::new().file("app/bomb.jar", zip("inner.jar", &vec![0; 600 << 20], true)).bytes();
    assert_eq!(limit_of(&fake, &Limits::default()), Some(Limit::Ratio));
}

#[test]
fn a_zip_whose_directory_overlaps_its_members_is_refused() {
    let mut bytes = Vec::new();
    local(&mut bytes, "a", b"content", 7, false);
    let at = bytes.len();
    for name in ["a", "b", "c"] {
        central(&mut bytes, name, 7, 7, false, 0);
    }
    end(&mut bytes, 3, at);
    let layer = Layer::new().file("app/overlap.jar", &bytes).bytes();
    assert_eq!(limit_of(&layer, &Limits::default()), Some(Limit::Overlap));
}

#[test]
fn a_package_database_that_does_not_fit_memory_ends_the_scan_and_a_document_is_a_problem() {
    let limits = Limits { database_bytes: 1000, document_bytes: 1000, ..Limits::default() };
    let database = Layer::new().file("var/lib/rpm/Packages", vec![0; 2000]).bytes();
    assert_eq!(limit_of(&database, &limits), Some(Limit::FileSize));
    let document = Layer::new().file("app/package.json", vec![b' '; 2000]).bytes();
    let result = catalogue_layer(&document, Mode::Image, &limits, &|| Pulse::Go).expect("a partial result");
    assert_eq!(vuln::merge(&[result]).problems.len(), 1);
}
