//! Go's build information (`runtime/debug.BuildInfo`) in ELF, Mach-O and PE files.
//!
//! The header begins with a magic at a 16-byte boundary; since Go 1.18 version and modules follow inline, before they
//! are string headers at addresses. The standard library is reported as module `stdlib`.

use memchr::memmem;
use object::{Object, ObjectSegment};

use crate::extract::Found;
use crate::package::{Package, PackageKind};

const MAGIC: &[u8] = b"\xff Go buildinf:";
const HEADER: usize = 32;
/// The sentinels that surround the module text.
const SENTINEL: usize = 16;
const INFO_BYTES: usize = 8 << 20;

/// Examines a whole file.
pub(super) fn parse(bytes: &[u8], found: &mut Found) {
    for at in memmem::find_iter(bytes, MAGIC) {
        let Some(header) = bytes.get(at..) else { continue };
        let info = if header.get(15).is_some_and(|flags| flags & 2 != 0) {
            inline(header)
        } else {
            pointers(header, bytes)
        };
        if let Some((version, modules)) = info {
            report(&version, &modules, found);
            return;
        }
    }
}

/// Examines a window of a larger file.
pub(super) fn parse_inline(bytes: &[u8], found: &mut Found) {
    for at in memmem::find_iter(bytes, MAGIC) {
        if let Some((version, modules)) = bytes.get(at..).and_then(inline) {
            report(&version, &modules, found);
            return;
        }
    }
}

fn inline(header: &[u8]) -> Option<(String, String)> {
    if header.get(15)? & 2 == 0 {
        return None;
    }
    let (version, rest) = counted(header.get(HEADER..)?)?;
    let (modules, _) = counted(rest)?;
    checked(version, modules)
}

/// A length (unsigned LEB128) and that many bytes.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if length > INFO_BYTES {
                return None;
            }
            let rest = bytes.get(index + 1..)?;
            return Some((rest.get(..length)?, rest.get(length..)?));
        }
    }
    None
}

fn pointers(header: &[u8], file: &[u8]) -> Option<(String, String)> {
    let pointer_size = usize::from(*header.get(14)?);
    if !matches!(pointer_size, 4 | 8) {
        return None;
    }
    let big_endian = header.get(15)? & 1 != 0;
    let object = object::File::parse(file).ok()?;
    let number = |bytes: &[u8]| -> u64 {
        let fold = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
    };
    let at = |address: u64, len: usize| -> Option<&[u8]> {
        object.segments().find_map(|segment| {
            let start = usize::try_from(address.checked_sub(segment.address())?).ok()?;
            segment.data().ok()?.get(start..start.checked_add(len)?)
        })
    };
    let string = |slot: usize| -> Option<&[u8]> {
        let address = number(header.get(16 + slot * pointer_size..16 + (slot + 1) * pointer_size)?);
        let data = number(at(address, pointer_size)?);
        let length = usize::try_from(number(at(address + pointer_size as u64, pointer_size)?)).ok()?;
        if length > INFO_BYTES { None } else { at(data, length) }
    };
    checked(string(0)?, string(1).unwrap_or_default())
}

fn checked(version: &[u8], modules: &[u8]) -> Option<(String, String)> {
    let version = std::str::from_utf8(version).ok()?;
    if !version.starts_with("go") && !version.starts_with("devel") {
        return None;
    }
    let has_sentinels =
        modules.len() > SENTINEL * 2 && modules.get(modules.len() - SENTINEL - 1) == Some(&b'\n');
    let modules = if has_sentinels { modules.get(SENTINEL..modules.len() - SENTINEL)? } else { &[] };
    Some((version.to_owned(), String::from_utf8_lossy(modules).into_owned()))
}

fn report(version: &str, modules: &str, found: &mut Found) {
    let first = version.split(' ').next().unwrap_or(version);
    let mut stdlib = Package::new(PackageKind::Golang, "stdlib", first.strip_prefix("go").unwrap_or(first));
    stdlib.properties.insert("go-version".to_owned(), version.to_owned());
    found.package(stdlib);
    let mut main: Option<Package> = None;
    let mut dependencies: Vec<Package> = Vec::new();
    let mut settings = Vec::new();
    for line in modules.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            ["mod", path, version, ..] => main = Some(Package::new(PackageKind::Golang, *path, *version)),
            ["dep", path, version, rest @ ..] => {
                let mut package = Package::new(PackageKind::Golang, *path, *version);
                sum(&mut package, rest.first());
                dependencies.push(package);
            }
            ["=>", path, version, rest @ ..] => {
                if let Some(last) = dependencies.last_mut() {
                    let mut package = Package::new(PackageKind::Golang, *path, *version);
                    package.properties.insert("replaces".to_owned(), last.name.clone());
                    sum(&mut package, rest.first());
                    *last = package;
                }
            }
            ["build", setting] => settings.push(*setting),
            _ => {}
        }
    }
    if let Some(mut main) = main {
        main.depends_on = dependencies.iter().map(|package| package.name.clone()).collect();
        main.depends_on.push("stdlib".to_owned());
        if main.version == "(devel)" || main.version.is_empty() {
            main.version = stated_version(&settings).unwrap_or_else(|| "(devel)".to_owned());
        }
        main.properties.insert("main-module".to_owned(), "true".to_owned());
        for setting in settings {
            if let Some((key @ ("vcs.revision" | "vcs.time" | "CGO_ENABLED"), value)) =
                setting.split_once('=')
            {
                main.properties.insert(key.to_owned(), value.to_owned());
            }
        }
        found.package(main);
    }
    // A replacement by a path has no version: it is the program's own code.
    dependencies
        .into_iter()
        .filter(|package| package.version != "(devel)")
        .for_each(|package| found.package(package));
}

fn sum(package: &mut Package, sum: Option<&&str>) {
    if let Some(sum) = sum.filter(|sum| sum.starts_with("h1:")) {
        package.properties.insert("go-sum".to_owned(), (*sum).to_owned());
    }
}

/// A version that the build was told by `-ldflags "-X main.version=…"`, else the commit as a pseudo-version.
fn stated_version(settings: &[&str]) -> Option<String> {
    let setting =
        |key: &str| settings.iter().find_map(|setting| setting.strip_prefix(key)?.strip_prefix('='));
    let flags = setting("-ldflags").unwrap_or("");
    for flag in flags.split([' ', '"', '\'']) {
        let Some((variable, value)) = flag.split_once('=') else { continue };
        let name = variable.rsplit('.').next().unwrap_or(variable).to_ascii_lowercase();
        let plain = value.strip_prefix('v').unwrap_or(value);
        if matches!(name.as_str(), "version" | "gitversion" | "buildversion" | "appversion")
            && plain.starts_with(|c: char| c.is_ascii_digit())
            && plain.contains('.')
        {
            return Some(format!("v{plain}"));
        }
    }
    let revision = setting("vcs.revision")?.get(..12)?;
    let time: String = setting("vcs.time")?.chars().filter(char::is_ascii_digit).take(14).collect();
    Some(format!("v0.0.0-{time}-{revision}"))
}
