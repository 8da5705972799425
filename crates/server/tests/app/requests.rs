//! Requests made of pieces that are right, wrong and almost right, from a seed: none is answered 5xx, refusals have the
//! specification's form, and what the caller has no right in stays as it was.
//!
//! `BONDED_FUZZ_SECONDS=3600 cargo test --workspace --test app storm -- --nocapture` goes on for so long.

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode, Uri};
use policy::{Role, Visibility};

use crate::test_app::{Ask, MANIFEST, PASSWORD, TestApp, image};

/// Requests of a run whose length nobody says.
const REQUESTS: usize = 20_000;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % (bound as u64)).unwrap_or(0)
    }

    fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

const METHODS: &[&str] =
    &["GET", "GET", "HEAD", "PUT", "PUT", "POST", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];

const NAMES: &[&str] = &[
    "team/app",
    "team/app",
    "team/app",
    "team/other",
    "team/a/b/c",
    "kept/app",
    "nobody/app",
    "team",
    "team/App",
    "team/..",
    "te%61m/app",
    "team//app",
    "team/app/manifests/v1",
    "%2e%2e/app",
    "team/%00",
    "team/_app",
    "team/a__b",
];

const PLACES: &[&str] = &[
    "manifests/v1",
    "manifests/v1",
    "manifests/{digest}",
    "blobs/{digest}",
    "blobs/uploads/",
    "blobs/uploads",
    "blobs/uploads/{upload}",
    "tags/list",
    "referrers/{digest}",
    "manifests/",
    "manifests/{text}",
    "blobs/{text}",
    "referrers/{text}",
    "blobs/uploads/{text}",
    "tags/list/",
    "_trust",
    "",
];

const OTHERS: &[&str] = &[
    "/v2/",
    "/v2",
    "/v2/_catalog",
    "/service/token",
    "/api/v1/projects",
    "/api/v1/projects/team",
    "/api/v1/users",
    "/api/v1/projects/team/members",
    "/api/v1/projects/{text}",
    "/api/v1/users/{text}",
    "/api/v1/audit",
    "/api/v2.0/projects",
    "/api/v2.0/projects/{text}",
    "/api/v2.0/users/current",
    "/api/openapi.json",
    "/",
    "/{text}",
];

const QUERIES: &[&str] = &[
    "n=10",
    "n=0",
    "n=-1",
    "n=99999999999999999999",
    "n=",
    "last=v1",
    "last=%ff",
    "digest={digest}",
    "digest={text}",
    "mount={digest}",
    "from=kept/app",
    "from=team/app",
    "tag=v2",
    "tag={text}",
    "artifactType=a/b",
    "artifactType=%00",
    "digest-algorithm=sha512",
    "digest-algorithm=md5",
    "scope=repository:team/app:pull,push",
    "scope={text}",
    "service=bonded",
    "account=dev",
    "offline_token=true",
    "page=1",
    "page_size=100",
    "q=name%3D~a",
    "limit=5",
    "after=3",
    "%",
    "&&",
    "=",
];

const TEXTS: &[&str] = &[
    "v1",
    "latest",
    "sha256:",
    "sha256:00",
    "sha512:00",
    "md5:d41d8cd98f00b204e9800998ecf8427e",
    "%F0%9F%A6%80",
    "..",
    "a%2Fb",
    "-1",
    "0",
    "9223372036854775808",
    "null",
    "x'OR'1'='1",
    "%25",
    "*",
];

const HEADERS: &[(&str, &[&str])] = &[
    (
        "range",
        &[
            "bytes=0-0",
            "bytes=-1",
            "bytes=5-",
            "bytes=9-1",
            "bytes=0-1,3-4",
            "bytes=99999999999999999999-",
            "0-4",
        ],
    ),
    ("content-range", &["0-4", "5-9", "4-0", "bytes 0-4/5", "-", "99999999999999999999-0"]),
    ("content-type", &[MANIFEST, "application/json", "application/octet-stream", "text/plain", "\u{1}", ""]),
    ("accept", &["*/*", MANIFEST, "text/html", ";;;q=x", ""]),
    ("if-none-match", &["*", "\"{digest}\"", "W/\"x\"", ","]),
    ("if-match", &["*", "\"x\""]),
    ("authorization", &["Basic", "Basic !!!", "Bearer x.y.z", "Bearer", "Digest a", "Basic Og=="]),
    ("x-request-id", &["a", "\u{7f}", "a b"]),
    ("oci-filters-applied", &["artifactType"]),
];

struct Storm<'a> {
    app: &'a TestApp,
    dice: Dice,
    digests: Vec<String>,
    uploads: Vec<String>,
    token: String,
}

impl<'a> Storm<'a> {
    fn filled(&mut self, text: &str) -> String {
        let digest = self.dice.below(self.digests.len());
        let upload =
            self.uploads.get(self.dice.below(self.uploads.len().max(1))).cloned().unwrap_or_default();
        let word = self.dice.pick(TEXTS);
        text.replace("{digest}", &self.digests[digest]).replace("{upload}", &upload).replace("{text}", word)
    }

    fn target(&mut self) -> String {
        let mut path = if self.dice.one_in(5) {
            self.dice.pick(OTHERS).to_owned()
        } else {
            format!("/v2/{}/{}", self.dice.pick(NAMES), self.dice.pick(PLACES))
        };
        for at in 0..self.dice.below(4) {
            path.push(if at == 0 { '?' } else { '&' });
            path.push_str(self.dice.pick(QUERIES));
        }
        let mut path = self.filled(&path).into_bytes();
        if self.dice.one_in(6) {
            let at = 1 + self.dice.below(path.len().max(2) - 1);
            if let Some(byte) = path.get_mut(at) {
                *byte = self.dice.pick(b"/:%?&=.@~-_0aZ");
            }
        }
        String::from_utf8_lossy(&path).into_owned()
    }

    fn body(&mut self) -> Vec<u8> {
        let manifest = image(&self.digests[0], &self.digests[1], 5);
        match self.dice.below(8) {
            0 => manifest,
            1 => {
                let mut cut = manifest;
                let at = self.dice.below(cut.len());
                if self.dice.one_in(2) {
                    cut.truncate(at);
                } else {
                    cut[at] = self.dice.pick(b"\0{}[]\",:9");
                }
                cut
            }
            2 => b"layer".to_vec(),
            3 => (0..self.dice.below(200)).map(|_| self.dice.roll().to_le_bytes()[0]).collect(),
            4 => [b"[".repeat(self.dice.below(3000)), b"1".to_vec()].concat(),
            5 => br#"{"name":"team","user":"dev","role":"guest","project_name":"x"}"#.to_vec(),
            6 => format!("grant_type=password&username=dev&password={PASSWORD}&service=a").into_bytes(),
            _ => Vec::new(),
        }
    }

    fn caller(&mut self, ask: Ask<'a>) -> Ask<'a> {
        match self.dice.below(6) {
            0 => ask,
            1 => ask.bearer(&self.token),
            _ => ask.by("dev"),
        }
    }

    /// One request; what was asked, for the message of a failure.
    async fn one(&mut self) -> Option<String> {
        let (method, target) = (self.dice.pick(METHODS), self.target());
        target.parse::<Uri>().ok()?;
        let mut said = format!("{method} {target}");
        let ask = self.app.ask(method, &target);
        let mut ask = self.caller(ask);
        for _ in 0..self.dice.below(3) {
            let (name, values) = self.dice.pick(HEADERS);
            let value = self.dice.pick(values);
            let value = self.filled(value);
            if HeaderValue::from_str(&value).is_ok() {
                said = format!("{said}\n{name}: {value}");
                ask = ask.header(HeaderName::from_static(name), &value);
            }
        }
        if !matches!(method, "GET" | "HEAD" | "DELETE") {
            let body = self.body();
            let media_type = self.dice.pick(&[MANIFEST, "application/json", "application/octet-stream"]);
            said = format!("{said}\n\n{}", String::from_utf8_lossy(&body));
            ask = ask.bytes(media_type, body);
        }
        let answer = ask.send().await;
        assert!(answer.status.as_u16() < 500, "{} {}\n{said}", answer.status, answer.text());
        let refused = answer.status.is_client_error() && method != "HEAD";
        if refused && target.starts_with("/v2/") && !target.contains("//") {
            let listed = answer.json()["errors"][0]["code"].is_string();
            assert!(listed, "{} {:?}\n{said}", answer.status, answer.text());
        }
        let upload = answer.header("docker-upload-uuid");
        if answer.status == StatusCode::ACCEPTED && !upload.is_empty() {
            self.uploads.push(upload);
        }
        Some(said)
    }
}

#[tokio::test]
async fn a_storm_of_requests_is_never_answered_by_a_defect() {
    #[expect(clippy::disallowed_methods, reason = "the test's own switch")]
    let seconds = std::env::var("BONDED_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut sent, mut seed) = (0, 1);
    while if let Some(until) = until { Instant::now() < until } else { sent < REQUESTS } {
        sent += storm(seed).await;
        seed += 1;
    }
    tell(&format!("storm: {sent} requests, none answered 5xx"));
}

#[expect(clippy::print_stdout, reason = "the line is the suites' protocol with the script that runs them")]
fn tell(figure: &str) {
    println!("figure: {figure}");
}

/// A fresh installation and a thousand requests; how many were sent.
async fn storm(seed: u64) -> usize {
    let app = TestApp::new().await;
    app.user("dev").await;
    app.project("team", Visibility::Private).await;
    app.member("team", "dev", Role::ProjectAdmin).await;
    app.project("kept", Visibility::Private).await;
    let kept = app.push_image("admin", "kept/app", "v1", b"kept").await;
    app.push_image("dev", "team/app", "v1", b"layer").await;
    app.idle().await;
    let before = app.get("/v2/kept/app/manifests/v1").await.expect(StatusCode::OK);
    let digests =
        [&b"{}"[..], b"layer", b"kept", b"nowhere"].map(|content| oci::Digest::sha256(content).to_string());
    let digests =
        digests.into_iter().chain([kept, oci::Digest::of(oci::Algorithm::Sha512, b"layer").to_string()]);
    let token = app.token("dev", "repository:team/app:pull,push,delete").await;
    let mut storm =
        Storm { app: &app, dice: Dice(seed), digests: digests.collect(), uploads: Vec::new(), token };
    let mut sent = 0;
    for _ in 0..1000 {
        sent += usize::from(storm.one().await.is_some());
    }
    app.idle().await;
    let after = app.get("/v2/kept/app/manifests/v1").await.expect(StatusCode::OK);
    assert_eq!(before.body, after.body, "seed {seed}");
    sent
}
