//! The Linux kernel: its version as the boot image states it, and modules that state one of their own.
//!
//! A module of the kernel's own tree has no version but the kernel's; what is left are the drivers that somebody added,
//! and no package manager lists those.

use std::io::Read;

use object::{Object, ObjectSection};

use super::{Extractor, Parse, ParseError, Scope};
use crate::package::{Package, PackageKind};

pub(super) const IMAGE: Extractor = Extractor {
    name: "linux-kernel",
    scope: Scope::Both,
    required: |info| ["vmlinuz", "bzImage"].iter().any(|name| info.name.starts_with(name)),
    parse: Parse::Stream(|_, content, _, found| {
        let mut head = Vec::new();
        content.take(HEAD_BYTES).read_to_end(&mut head)?;
        if let Some(version) = version(&head) {
            found.add(PackageKind::Generic, "linux-kernel", version);
        }
        Ok(())
    }),
};

pub(super) const MODULE: Extractor = Extractor {
    name: "linux-module",
    scope: Scope::Both,
    required: |info| info.has_suffix(".ko") && info.path.contains("lib/modules/"),
    parse: Parse::Document(|info, bytes, found| {
        let file = object::File::parse(bytes).map_err(ParseError::malformed)?;
        let section = file.section_by_name(".modinfo").map(|section| section.data()).transpose();
        let section = section.map_err(ParseError::malformed)?.unwrap_or_default();
        let get = |key: &str| {
            section.split(|byte| *byte == 0).find_map(|entry| {
                std::str::from_utf8(entry).ok()?.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)
            })
        };
        let stem = info.name.trim_end_matches(".ko");
        let name = get("name").unwrap_or_else(|| stem.to_owned());
        let mut package = Package::new(PackageKind::Generic, name, get("version").unwrap_or_default());
        package.licenses = get("license").into_iter().collect();
        package.supplier = get("author");
        found.package(package);
        Ok(())
    }),
};

/// The boot protocol puts the version's text within the setup code, which is 32 KiB at most.
const HEAD_BYTES: u64 = 64 << 10;

/// The first word of the version that the x86 boot header points to.
fn version(head: &[u8]) -> Option<&str> {
    if head.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = usize::from(u16::from_le_bytes(head.get(0x20e..0x210)?.try_into().ok()?)) + 0x200;
    let text = head.get(at..)?.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text.get(..text.len().min(256))?).ok()?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use crate::extract::{Cataloguer, FileInfo};
    use crate::{Limits, Mode};

    fn found(path: &str, bytes: &[u8]) -> Vec<(String, String, Vec<String>)> {
        let limits = Limits::default();
        let mut cataloguer = Cataloguer::new(Mode::Image, &limits);
        let info = FileInfo::new(path, bytes.len() as u64, 0o644);
        assert!(cataloguer.wants(&info), "{path}");
        cataloguer.file(&info, &mut &*bytes).expect("read");
        let inventory = crate::merge(&[cataloguer.finish_directory()]);
        inventory.packages.into_iter().map(|p| (p.name, p.version, p.licenses)).collect()
    }

    /// A relocatable object with a `.modinfo` section.
    fn object(info: &[u8]) -> Vec<u8> {
        let names = b"\0.modinfo\0.shstrtab\0";
        let mut out = b"\x7fELF\x02\x01\x01".to_vec();
        out.resize(64, 0);
        let (info_at, names_at) = (out.len(), out.len() + info.len());
        out.extend_from_slice(info);
        out.extend_from_slice(names);
        let table = out.len() as u64;
        let section = |name: u32, kind: u32, at: usize, size: usize| {
            let mut s = [name.to_le_bytes(), kind.to_le_bytes()].concat();
            s.extend([0, 0, at as u64, size as u64, 0, 1, 0].iter().flat_map(|v: &u64| v.to_le_bytes()));
            s
        };
        out.extend(section(0, 0, 0, 0));
        out.extend(section(1, 1, info_at, info.len()));
        out.extend(section(10, 3, names_at, names.len()));
        out[16..20].copy_from_slice(&[1, 0, 62, 0]);
        out[20] = 1;
        out[40..48].copy_from_slice(&table.to_le_bytes());
        for (at, value) in [(52, 64_u16), (58, 64), (60, 3), (62, 2)] {
            out[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        out
    }

    #[test]
    fn a_boot_image_states_its_version() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        let text = b"6.1.0-13-amd64 (debian-kernel@lists.debian.org) #1 SMP\0";
        image[0x300..0x300 + text.len()].copy_from_slice(text);
        assert_eq!(
            found("boot/vmlinuz-6.1.0-13-amd64", &image),
            [("linux-kernel".into(), "6.1.0-13-amd64".into(), vec![])]
        );
        assert!(found("boot/vmlinuz", b"short").is_empty());
    }

    #[test]
    fn a_module_with_a_version_of_its_own_is_a_package() {
        let own = object(b"license=GPL\0version=535.1\0name=nvidia\0vermagic=6.1.0 SMP\0");
        let path = "lib/modules/6.1.0/extra/nvidia.ko";
        assert_eq!(found(path, &own), [("nvidia".into(), "535.1".into(), vec!["GPL".into()])]);
        let of_the_tree = object(b"license=GPL\0name=dummy\0vermagic=6.1.0 SMP\0");
        assert!(found("usr/lib/modules/6.1.0/kernel/dummy.ko", &of_the_tree).is_empty());
    }
}
