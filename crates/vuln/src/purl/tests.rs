//! Behaviour on package URLs as people and tools write them.

use super::{Purl, PurlError};
use crate::package::{Distro, Package, PackageKind, SourcePackage};
use proptest::prelude::*;

fn canonical(text: &str) -> String {
    Purl::parse(text).unwrap().to_string()
}

#[test]
fn foreign_spellings_become_canonical() {
    for (text, expected) in [
        ("pkg:npm/@babel/core@7.0.0", "pkg:npm/%40babel/core@7.0.0"),
        ("pkg:PyPI/Django_package@1.11.1", "pkg:pypi/django-package@1.11.1"),
        ("pkg://maven/org.apache.commons/io", "pkg:maven/org.apache.commons/io"),
        (
            "pkg:Rpm/fedora/curl@7?Arch=i386&Distro=fedora-25",
            "pkg:rpm/fedora/curl@7?arch=i386&distro=fedora-25",
        ),
        ("pkg:oci/a@sha256%3Aabc?tag=v1", "pkg:oci/a@sha256:abc?tag=v1"),
        ("pkg:deb/debian/attr@1:2.4-2+b1", "pkg:deb/debian/attr@1:2.4-2%2Bb1"),
        ("pkg:golang/stdlib@1.19", "pkg:golang/stdlib@1.19"),
        ("pkg:github/Actions/Checkout@v4", "pkg:github/actions/checkout@v4"),
        ("pkg:generic/a?b=&c=d#./x/../y/", "pkg:generic/a?c=d#x/y"),
        ("pkg:generic/50%off", "pkg:generic/50%25off"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
}

#[test]
fn the_conforming_parser_enforces_the_type() {
    for text in [
        "pkg:swift/Alamofire@5.4.3",
        "pkg:vcpkg/boost/asio@1",
        "pkg:julia/Dates",
        "pkg:cpan/URI::PackageURL",
        "pkg:gem/a?Platform=java",
        "pkg:generic/50%off",
        "pkg:generic/a%2Fb/c",
    ] {
        assert!(Purl::parse_strict(text).is_err(), "{text}");
        assert!(Purl::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    assert_eq!(Purl::parse("pkg%3Amaven/a/b"), Err(PurlError::Scheme));
    assert_eq!(Purl::parse("pkg:maven"), Err(PurlError::Name));
    assert_eq!(Purl::parse("pkg:maven/@1.3.4"), Err(PurlError::Name));
    assert_eq!(Purl::parse("pkg:3nginx/nginx"), Err(PurlError::Type));
    assert_eq!(Purl::parse("pkg:n&g/nginx"), Err(PurlError::Type));
    assert_eq!(Purl::parse(&format!("pkg:a/{}", "b".repeat(5000))), Err(PurlError::TooLong));
    let many = (0..100).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join("&");
    assert_eq!(Purl::parse(&format!("pkg:a/b?{many}")), Err(PurlError::TooLong));
}

fn debian() -> Distro {
    Distro { id: "debian".into(), version_id: "12".into(), ..Distro::default() }
}

#[test]
fn a_distribution_package_names_its_source_and_distribution() {
    let mut libc = Package::new(PackageKind::Deb, "libc6", "2.36-9+deb12u4");
    libc.arch = Some("amd64".into());
    libc.source = Some(SourcePackage { name: "glibc".into(), version: "2.36-9+deb12u4".into() });
    let purl = Purl::of_package(&libc, Some(&debian())).unwrap();
    assert_eq!(
        purl.to_string(),
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12&upstream=glibc"
    );
    assert_eq!(purl.to_package(), libc);
    assert_eq!(purl.distro(), Some(debian()));
}

#[test]
fn an_rpm_keeps_epoch_source_and_module() {
    let mut rpm = Package::new(PackageKind::Rpm, "perl-Errno", "1:1.30-419.el8");
    rpm.arch = Some("x86_64".into());
    rpm.module = Some("perl:5.30:8040020200923213406:466ea64f".into());
    rpm.source = Some(SourcePackage { name: "perl".into(), version: "1:5.30.1-452.el8".into() });
    let alma = Distro { id: "almalinux".into(), version_id: "8.10".into(), ..Distro::default() };
    let purl = Purl::of_package(&rpm, Some(&alma)).unwrap();
    assert_eq!(
        purl.to_string(),
        "pkg:rpm/almalinux/perl-Errno@1.30-419.el8?arch=x86_64&distro=almalinux-8.10&epoch=1\
         &rpmmod=perl:5.30:8040020200923213406:466ea64f&upstream=perl-5.30.1-452.el8.src.rpm"
    );
    assert_eq!(purl.to_package(), rpm);
    assert_eq!(purl.distro(), Some(alma));
}

#[test]
fn language_packages_go_there_and_back() {
    let mut scoped = Package::new(PackageKind::Npm, "core", "7.0.0");
    scoped.namespace = Some("babel".into());
    let mut log4j = Package::new(PackageKind::Maven, "log4j-core", "2.17.0");
    log4j.namespace = Some("org.apache.logging.log4j".into());
    let go = Package::new(PackageKind::Golang, "github.com/Masterminds/semver/v3", "v3.1.0");
    let image = Package::new(PackageKind::Oci, "ghcr.io/owner/app", "sha256:00ff");
    for (package, expected) in [
        (scoped, "pkg:npm/%40babel/core@7.0.0"),
        (log4j, "pkg:maven/org.apache.logging.log4j/log4j-core@2.17.0"),
        (go, "pkg:golang/github.com/Masterminds/semver/v3@v3.1.0"),
        (image, "pkg:oci/app@sha256:00ff?repository_url=ghcr.io%2Fowner%2Fapp"),
    ] {
        let purl = Purl::of_package(&package, None).unwrap();
        assert_eq!(purl.to_string(), expected);
        assert_eq!(Purl::parse_strict(expected).unwrap().to_package(), package);
    }
}

#[test]
fn a_distribution_is_read_from_several_spellings() {
    let of = |text: &str| Purl::parse(text).unwrap().distro().map(|d| (d.id, d.version_id, d.codename));
    let some = |id: &str, v: &str, c: Option<&str>| Some((id.to_owned(), v.to_owned(), c.map(str::to_owned)));
    assert_eq!(of("pkg:apk/alpine/curl@1?distro=alpine-3.20.1"), some("alpine", "3.20.1", None));
    assert_eq!(of("pkg:apk/alpine/curl@1?distro=3.20.1"), some("alpine", "3.20.1", None));
    assert_eq!(of("pkg:deb/debian/curl@1?distro=jessie"), some("debian", "", Some("jessie")));
    assert_eq!(of("pkg:rpm/opensuse/curl@1?distro=opensuse-leap-15.6"), some("opensuse-leap", "15.6", None));
    assert_eq!(of("pkg:apk/wolfi/curl@1"), some("wolfi", "", None));
    assert_eq!(of("pkg:npm/curl@1?distro=debian-12"), None);
}

proptest! {
    #[test]
    fn canonical_text_reads_back_as_itself(text in "pkg:[a-z]{1,8}/([@%a-zA-Z0-9é._+ -]{1,6}/){0,2}[%a-zA-Z0-9é._+ -]{1,8}(@[^/?#]{0,6})?([?][a-z]=[^&#]{0,5})?(#[^#]{0,6})?") {
        if let Ok(purl) = Purl::parse(&text) {
            let canonical = purl.to_string();
            prop_assert_eq!(Purl::parse(&canonical).unwrap(), purl);
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        for text in [text.clone(), format!("pkg:{text}"), format!("pkg:npm/{text}")] {
            let _ = Purl::parse(&text).map(|p| p.to_package());
            let _ = Purl::parse_strict(&text);
        }
    }
}
