//! The serving side of the adapter API: what a Harbor's requests mean, and what is refused.

use oci::Digest;
use upstream::adapter::check;
use upstream::adapter::serve::{Accepted, Asked, MAX_REQUEST_BYTES, Refusal, asked, metadata};
use upstream::adapter::wire::{self, Metadata};
use upstream::{Client, Options, UpstreamError};

fn request(change: impl Fn(&mut serde_json::Value)) -> Result<Accepted, Refusal> {
    let mut value = serde_json::json!({
        "registry": { "url": "https://core.harbor.example", "authorization": "Bearer t0ken" },
        "artifact": {
            "repository": "library/mongo", "digest": Digest::sha256(b"x"), "tag": "3.14",
            "mime_type": "application/vnd.docker.distribution.manifest.v2+json",
        },
    });
    change(&mut value);
    Accepted::parse(value.to_string().as_bytes())
}

#[test]
fn a_request_means_what_it_enables() {
    let all = request(|_| {}).expect("accepted");
    assert!(all.vulnerabilities && all.sboms.len() == 2, "without a list everything is meant");
    let enable = |list: serde_json::Value| request(move |r| r["enabled_capabilities"] = list.clone());
    let one = enable(serde_json::json!([{ "type": "vulnerability" }])).expect("accepted");
    assert!(one.vulnerabilities && one.sboms.is_empty());
    let cyclonedx = "application/vnd.cyclonedx+json";
    let sbom = serde_json::json!([{ "type": "sbom", "parameters": { "sbom_media_types": [cyclonedx] } }]);
    let one = enable(sbom).expect("accepted");
    assert!(!one.vulnerabilities && one.sboms == [cyclonedx]);
    let one = enable(serde_json::json!([{ "type": "sbom", "parameters": null }])).expect("accepted");
    assert_eq!(one.sboms, ["application/spdx+json"]);
    assert_eq!(enable(serde_json::json!([{ "type": "dreams" }])).expect_err("unknown").status, 501);
    assert!(!format!("{all:?}").contains("t0ken"));
    let place = format!("https://core.harbor.example/library/mongo@{}", Digest::sha256(b"x"));
    assert_eq!(all.place(), place);
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let set = |at: &'static str, to: &'static str| {
        request(move |r| *r.pointer_mut(at).expect("field") = to.into()).expect_err(to)
    };
    for (at, to, status) in [
        ("/registry/url", "ftp://x", 422),
        ("/registry/url", "registry", 422),
        ("/registry/url", "https://a:b@registry.example", 422),
        ("/artifact/repository", "../etc", 422),
        ("/artifact/digest", "latest", 422),
        ("/artifact/mime_type", "application/vnd.cncf.helm.config.v1+json", 501),
        ("/artifact/mime_type", "application/vnd.oci.image.index.v1+json", 501),
    ] {
        assert_eq!(set(at, to).status, status, "{at} {to}");
    }
    let broken = Accepted::parse(br#"{"registry":{"authorization":"Basic c2VjcmV0"#).expect_err("broken");
    assert!(broken.status == 400 && !broken.message.contains("c2VjcmV0"), "{broken}");
    assert_eq!(Accepted::parse(&vec![b' '; MAX_REQUEST_BYTES + 1]).expect_err("long").status, 400);
    let client = Client::new(&Options::default()).expect("client");
    let other = request(|r| r["registry"]["authorization"] = "Digest x".into()).expect("read later");
    assert!(matches!(other.registry(client.clone()), Err(UpstreamError::Authorization)));
    assert!(request(|_| {}).expect("accepted").registry(client).is_ok());
}

#[test]
fn the_report_that_is_asked_for_is_known_by_header_and_query() {
    let spdx = Some("application/spdx+json");
    for (accept, form, expected) in [
        (wire::VULNERABILITY_REPORT, None, Ok(Asked::Vulnerabilities(wire::VULNERABILITY_REPORT))),
        (
            "application/vnd.scanner.adapter.vuln.report.harbor+json;version=1.0",
            None,
            Ok(Asked::Vulnerabilities(wire::VULNERABILITY_REPORT_1_0)),
        ),
        ("*/*", None, Ok(Asked::Vulnerabilities(wire::VULNERABILITY_REPORT))),
        (wire::SBOM_REPORT, spdx, Ok(Asked::Sbom("application/spdx+json"))),
        (wire::SBOM_REPORT, None, Err(400)),
        (wire::SBOM_REPORT, Some("text/spdx"), Err(400)),
        ("application/vnd.scanner.adapter.vuln.report.raw", None, Err(501)),
    ] {
        assert_eq!(asked(accept, form).map_err(|refusal| refusal.status), expected, "{accept} {form:?}");
    }
}

#[test]
fn our_own_metadata_passes_our_own_check() {
    let own = metadata("0.1.0", Some("2026-11-19T06:00:00Z"));
    check(&own, "here").expect("usable");
    let read: Metadata = serde_json::from_value(serde_json::to_value(&own).expect("JSON")).expect("metadata");
    assert_eq!(read, own);
}
