//! Version resources of .NET assemblies: product name and version of the `StringFileInfo` block.
//!
//! The block is found by its UTF-16 keys; the resource tree is not needed. Assemblies of the runtime itself are left
//! to `*.deps.json`, which names the runtime as one package.

use memchr::memmem;
use object::LittleEndian as LE;
use object::pe::{IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR, ImageNtHeaders32, ImageNtHeaders64};
use object::read::pe::{ImageNtHeaders, PeFile};

use crate::extract::Found;
use crate::package::{Package, PackageKind};

const VALUE_CHARS: usize = 256;

pub(super) fn parse(bytes: &[u8], found: &mut Found) {
    if !is_assembly::<ImageNtHeaders32>(bytes) && !is_assembly::<ImageNtHeaders64>(bytes) {
        return;
    }
    let Some(block) = memmem::find(bytes, &utf16("StringFileInfo")).and_then(|at| bytes.get(at..)) else {
        return;
    };
    let product = value(block, "ProductName").unwrap_or_default();
    let version = ["ProductVersion", "FileVersion", "Assembly Version"]
        .iter()
        .find_map(|key| value(block, key))
        .unwrap_or_default();
    if product.starts_with("Microsoft®") || product.starts_with("Microsoft .NET") {
        return;
    }
    let internal =
        value(block, "InternalName").or_else(|| value(block, "OriginalFilename")).unwrap_or_default();
    let internal =
        internal.strip_suffix(".dll").or_else(|| internal.strip_suffix(".exe")).unwrap_or(&internal);
    let name = if product.is_empty() || product.contains(' ') { internal } else { &product };
    // `1.2.3+commit` and `1.2.3 (release)` state one version.
    let version = version.split(['+', ' ']).next().unwrap_or("");
    if version.starts_with(|c: char| c.is_ascii_digit()) {
        let mut package = Package::new(PackageKind::Nuget, name.trim(), version);
        package.supplier = value(block, "CompanyName");
        found.package(package);
    }
}

/// Whether the file has a CLR header.
fn is_assembly<H: ImageNtHeaders>(bytes: &[u8]) -> bool {
    PeFile::<H>::parse(bytes).is_ok_and(|file| {
        let directory = file.data_directory(IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR);
        directory.is_some_and(|directory| directory.size.get(LE) > 0)
    })
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The value after a key: the key ends with a zero, then zeros align the value.
fn value(block: &[u8], key: &str) -> Option<String> {
    let mut needle = utf16(key);
    needle.extend([0, 0]);
    let at = memmem::find(block, &needle)? + needle.len();
    let units = block
        .get(at..)?
        .chunks_exact(2)
        .map(|pair| pair.iter().rev().fold(0_u16, |unit, byte| (unit << 8) | u16::from(*byte)));
    let units: Vec<u16> =
        units.skip_while(|unit| *unit == 0).take_while(|unit| *unit != 0).take(VALUE_CHARS).collect();
    let value = String::from_utf16_lossy(&units).trim().to_owned();
    (!value.is_empty()).then_some(value)
}
