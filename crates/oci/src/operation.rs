//! The whole `/v2/` surface as one pure function from method, path and query to a typed operation.
//!
//! It runs before authentication and is the only parser of names: authorisation and handler share its `RepoName`.
//! The path is not percent-decoded, except a reference (some clients send `sha256%3A…`); whatever else holds a `%`
//! is no name and is refused, so there is no second spelling of a repository.

use crate::digest::{Algorithm, Digest};
use crate::error::ErrorCode;
use crate::name::RepoName;
use crate::page::Page;
use crate::tag::{Reference, Tag};
use crate::upload_id::UploadId;

/// Most `tag` parameters of one manifest PUT.
pub const MAX_TAG_PARAMETERS: usize = 10;

/// Longest query accepted, in bytes.
pub const MAX_QUERY_BYTES: usize = 16 * 1024;

/// Most artifact types that one list of referrers is filtered by: each is a list of its own.
const MAX_ARTIFACT_TYPES: usize = 32;

/// An HTTP method of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

/// A request to use a blob of another repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The blob.
    pub digest: Digest,
    /// Where it is said to be; without it, anywhere the caller may read.
    pub from: Option<RepoName>,
}

/// One operation of the distribution API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `GET /v2/`
    Base,
    /// `GET /v2/_catalog`
    Catalog(Page),
    /// `GET /v2/<name>/tags/list`
    ListTags(RepoName, Page),
    /// `GET` or `HEAD /v2/<name>/manifests/<reference>`
    PullManifest(RepoName, Reference),
    /// `PUT /v2/<name>/manifests/<reference>?tag=…`
    PutManifest(RepoName, Reference, Vec<Tag>),
    /// `DELETE /v2/<name>/manifests/<reference>`
    DeleteManifest(RepoName, Reference),
    /// `GET` or `HEAD /v2/<name>/blobs/<digest>`
    PullBlob(RepoName, Digest),
    /// `DELETE /v2/<name>/blobs/<digest>`
    DeleteBlob(RepoName, Digest),
    /// `POST /v2/<name>/blobs/uploads/`
    StartUpload {
        /// The repository.
        repo: RepoName,
        /// Digest of the body: a single-POST upload.
        digest: Option<Digest>,
        /// Algorithm of the digest to come.
        algorithm: Option<Algorithm>,
        /// A blob to mount instead.
        mount: Option<Mount>,
    },
    /// `GET /v2/<name>/blobs/uploads/<id>`
    UploadStatus(RepoName, UploadId),
    /// `PATCH /v2/<name>/blobs/uploads/<id>`
    UploadChunk(RepoName, UploadId),
    /// `PUT /v2/<name>/blobs/uploads/<id>?digest=…`
    FinishUpload(RepoName, UploadId, Digest),
    /// `DELETE /v2/<name>/blobs/uploads/<id>`
    CancelUpload(RepoName, UploadId),
    /// `GET /v2/<name>/referrers/<digest>`
    ListReferrers {
        /// The repository.
        repo: RepoName,
        /// The subject.
        subject: Digest,
        /// Only these artifact types; all when empty.
        artifact_types: Vec<String>,
        /// The part wanted.
        page: Page,
    },
}

/// Why a request is no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationError {
    /// No such path: 404.
    NotFound,
    /// The path exists for other methods: 405 with `Allow`.
    MethodNotAllowed(&'static str),
    /// A value of path or query is malformed: 400.
    Invalid(ErrorCode, String),
}

fn invalid<E: ToString>(code: ErrorCode) -> impl Fn(E) -> OperationError {
    move |error| OperationError::Invalid(code, error.to_string())
}

enum Target<'a> {
    Base,
    Catalog,
    Tags(&'a str),
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Uploads(&'a str),
    Upload(&'a str, &'a str),
    Referrers(&'a str, &'a str),
}

fn target(path: &str) -> Option<Target<'_>> {
    let rest = path.strip_prefix("/v2")?;
    if rest.is_empty() || rest == "/" {
        return Some(Target::Base);
    }
    let rest = rest.strip_prefix('/')?;
    if rest == "_catalog" {
        return Some(Target::Catalog);
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
        return Some(Target::Uploads(name));
    }
    let (head, last) = rest.rsplit_once('/')?;
    if last == "list"
        && let Some(name) = head.strip_suffix("/tags")
    {
        return Some(Target::Tags(name));
    }
    if let Some(name) = head.strip_suffix("/blobs/uploads") {
        return Some(Target::Upload(name, last));
    }
    let (name, kind) = head.rsplit_once('/')?;
    match kind {
        "manifests" => Some(Target::Manifest(name, last)),
        "blobs" => Some(Target::Blob(name, last)),
        "referrers" => Some(Target::Referrers(name, last)),
        _ => None,
    }
}

impl Operation {
    /// Every operation as method and path template; `{name}` is a repository's, of any depth.
    pub const TABLE: [(Method, &str); 21] = [
        (Method::Get, "/v2/"),
        (Method::Head, "/v2/"),
        (Method::Get, "/v2/_catalog"),
        (Method::Head, "/v2/_catalog"),
        (Method::Get, "/v2/{name}/tags/list"),
        (Method::Head, "/v2/{name}/tags/list"),
        (Method::Get, "/v2/{name}/manifests/{reference}"),
        (Method::Head, "/v2/{name}/manifests/{reference}"),
        (Method::Put, "/v2/{name}/manifests/{reference}"),
        (Method::Delete, "/v2/{name}/manifests/{reference}"),
        (Method::Get, "/v2/{name}/blobs/{digest}"),
        (Method::Head, "/v2/{name}/blobs/{digest}"),
        (Method::Delete, "/v2/{name}/blobs/{digest}"),
        (Method::Post, "/v2/{name}/blobs/uploads/"),
        (Method::Get, "/v2/{name}/blobs/uploads/{upload}"),
        (Method::Head, "/v2/{name}/blobs/uploads/{upload}"),
        (Method::Patch, "/v2/{name}/blobs/uploads/{upload}"),
        (Method::Put, "/v2/{name}/blobs/uploads/{upload}"),
        (Method::Delete, "/v2/{name}/blobs/uploads/{upload}"),
        (Method::Get, "/v2/{name}/referrers/{digest}"),
        (Method::Head, "/v2/{name}/referrers/{digest}"),
    ];

    /// Parses a request. `path` is the raw path of the target, `query` the raw query without `?`.
    pub fn parse(method: Method, path: &str, query: Option<&str>) -> Result<Self, OperationError> {
        let query = Query::parse(query.unwrap_or_default())?;
        let reading = matches!(method, Method::Get | Method::Head);
        match target(path).ok_or(OperationError::NotFound)? {
            Target::Base if reading => Ok(Self::Base),
            Target::Catalog if reading => Ok(Self::Catalog(query.page()?)),
            Target::Tags(name) if reading => Ok(Self::ListTags(repo(name)?, query.page()?)),
            Target::Referrers(name, subject) if reading => Ok(Self::ListReferrers {
                repo: repo(name)?,
                subject: digest(subject)?,
                artifact_types: query.artifact_types()?,
                page: query.page()?,
            }),
            Target::Manifest(name, reference) => manifest(method, name, reference, &query),
            Target::Blob(name, text) => {
                let (name, text) = (repo(name)?, digest(text)?);
                match method {
                    Method::Get | Method::Head => Ok(Self::PullBlob(name, text)),
                    Method::Delete => Ok(Self::DeleteBlob(name, text)),
                    _ => Err(OperationError::MethodNotAllowed("GET, HEAD, DELETE")),
                }
            }
            Target::Uploads(name) if method == Method::Post => start_upload(repo(name)?, &query),
            Target::Upload(name, id) => upload(method, repo(name)?, id, &query),
            Target::Uploads(_) => Err(OperationError::MethodNotAllowed("POST")),
            Target::Base | Target::Catalog | Target::Tags(_) | Target::Referrers(..) => {
                Err(OperationError::MethodNotAllowed("GET, HEAD"))
            }
        }
    }

    /// The repository that the operation is about.
    pub fn repo(&self) -> Option<&RepoName> {
        match self {
            Self::Base | Self::Catalog(_) => None,
            Self::ListTags(repo, _)
            | Self::PullManifest(repo, _)
            | Self::PutManifest(repo, ..)
            | Self::DeleteManifest(repo, _)
            | Self::PullBlob(repo, _)
            | Self::DeleteBlob(repo, _)
            | Self::UploadStatus(repo, _)
            | Self::UploadChunk(repo, _)
            | Self::FinishUpload(repo, ..)
            | Self::CancelUpload(repo, _)
            | Self::StartUpload { repo, .. }
            | Self::ListReferrers { repo, .. } => Some(repo),
        }
    }

    /// A short, stable name for metrics and audit.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog(_) => "catalog",
            Self::ListTags(..) => "list_tags",
            Self::PullManifest(..) => "pull_manifest",
            Self::PutManifest(..) => "put_manifest",
            Self::DeleteManifest(..) => "delete_manifest",
            Self::PullBlob(..) => "pull_blob",
            Self::DeleteBlob(..) => "delete_blob",
            Self::StartUpload { .. } => "start_upload",
            Self::UploadStatus(..) => "upload_status",
            Self::UploadChunk(..) => "upload_chunk",
            Self::FinishUpload(..) => "finish_upload",
            Self::CancelUpload(..) => "cancel_upload",
            Self::ListReferrers { .. } => "list_referrers",
        }
    }
}

fn manifest(method: Method, name: &str, text: &str, query: &Query) -> Result<Operation, OperationError> {
    let (name, reference) = (repo(name)?, reference(text)?);
    match method {
        Method::Get | Method::Head => Ok(Operation::PullManifest(name, reference)),
        Method::Delete => Ok(Operation::DeleteManifest(name, reference)),
        Method::Put => {
            let tags: Vec<Tag> = query
                .all("tag")
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map_err(invalid(ErrorCode::TagInvalid))?;
            if tags.len() > MAX_TAG_PARAMETERS {
                let text = format!("at most {MAX_TAG_PARAMETERS} `tag` parameters");
                return Err(OperationError::Invalid(ErrorCode::TagInvalid, text));
            }
            Ok(Operation::PutManifest(name, reference, tags))
        }
        _ => Err(OperationError::MethodNotAllowed("GET, HEAD, PUT, DELETE")),
    }
}

fn start_upload(repo_name: RepoName, query: &Query) -> Result<Operation, OperationError> {
    let algorithm = match query.one("digest-algorithm") {
        None => None,
        Some("sha256") => Some(Algorithm::Sha256),
        Some("sha512") => Some(Algorithm::Sha512),
        Some(_) => return Err(invalid(ErrorCode::DigestInvalid)("digest-algorithm is not sha256 or sha512")),
    };
    // A mount that cannot be is an ordinary upload, as the specification asks; so is one from a malformed name.
    let mount = match query.one("mount") {
        None => None,
        Some(text) => {
            let from = query.one("from").map(str::parse::<RepoName>);
            match from {
                Some(Err(_)) => None,
                Some(Ok(from)) => Some(Mount { digest: digest(text)?, from: Some(from) }),
                None => Some(Mount { digest: digest(text)?, from: None }),
            }
        }
    };
    let digest = query.one("digest").map(digest).transpose()?;
    Ok(Operation::StartUpload { repo: repo_name, digest, algorithm, mount })
}

fn upload(method: Method, name: RepoName, id: &str, query: &Query) -> Result<Operation, OperationError> {
    let id = id.parse().map_err(invalid(ErrorCode::BlobUploadUnknown))?;
    match method {
        Method::Get | Method::Head => Ok(Operation::UploadStatus(name, id)),
        Method::Patch => Ok(Operation::UploadChunk(name, id)),
        Method::Put => match query.one("digest") {
            Some(text) => Ok(Operation::FinishUpload(name, id, digest(text)?)),
            None => {
                let text = "the PUT that ends an upload needs `?digest=`";
                Err(OperationError::Invalid(ErrorCode::DigestInvalid, text.to_owned()))
            }
        },
        Method::Delete => Ok(Operation::CancelUpload(name, id)),
        Method::Post => Err(OperationError::MethodNotAllowed("GET, PATCH, PUT, DELETE")),
    }
}

fn repo(text: &str) -> Result<RepoName, OperationError> {
    text.parse().map_err(invalid(ErrorCode::NameInvalid))
}

fn digest(text: &str) -> Result<Digest, OperationError> {
    percent_decode(text).parse().map_err(invalid(ErrorCode::DigestInvalid))
}

fn reference(text: &str) -> Result<Reference, OperationError> {
    let text = percent_decode(text);
    if text.contains(':') {
        return text.parse().map(Reference::Digest).map_err(invalid(ErrorCode::DigestInvalid));
    }
    text.parse().map(Reference::Tag).map_err(invalid(ErrorCode::TagInvalid))
}

/// Decodes once; whatever is not UTF-8 afterwards stays as it was and fails its own parser.
fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[at], pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// A decoded query (application/x-www-form-urlencoded).
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Result<Self, OperationError> {
        if text.len() > MAX_QUERY_BYTES {
            return Err(invalid(ErrorCode::Unsupported)("the query is too long"));
        }
        let decode = |part: &str| percent_decode(&part.replace('+', " "));
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Ok(Self(pairs.collect()))
    }

    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn one<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all(key).next()
    }

    fn artifact_types(&self) -> Result<Vec<String>, OperationError> {
        let types: Vec<_> = self.all("artifactType").filter(|text| !text.is_empty()).collect();
        if types.len() > MAX_ARTIFACT_TYPES {
            let message = format!("at most {MAX_ARTIFACT_TYPES} artifact types can be asked for at once");
            return Err(OperationError::Invalid(ErrorCode::Unsupported, message));
        }
        Ok(types.into_iter().map(str::to_owned).collect())
    }

    fn page(&self) -> Result<Page, OperationError> {
        Page::parse(self.one("n"), self.one("last")).ok_or_else(|| {
            invalid(ErrorCode::PaginationNumberInvalid)("`n` must be a number, `last` a short text")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(method: Method, target: &str) -> Result<Operation, OperationError> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Operation::parse(method, path, query)
    }

    #[test]
    fn the_table_holds_every_method_of_every_path_and_no_other() {
        // A new operation must get a number here, and thereby a row in the table.
        let number = |operation: &Operation| match operation {
            Operation::Base => 0,
            Operation::Catalog(_) => 1,
            Operation::ListTags(..) => 2,
            Operation::PullManifest(..) => 3,
            Operation::PutManifest(..) => 4,
            Operation::DeleteManifest(..) => 5,
            Operation::PullBlob(..) => 6,
            Operation::DeleteBlob(..) => 7,
            Operation::StartUpload { .. } => 8,
            Operation::UploadStatus(..) => 9,
            Operation::UploadChunk(..) => 10,
            Operation::FinishUpload(..) => 11,
            Operation::CancelUpload(..) => 12,
            Operation::ListReferrers { .. } => 13,
        };
        let mut found = [false; 14];
        let methods = [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete];
        for (path, method) in
            Operation::TABLE.iter().flat_map(|(_, path)| methods.map(|method| (path, method)))
        {
            let target = path
                .replace("{name}", "a/b")
                .replace("{reference}", "latest")
                .replace("{digest}", D)
                .replace("{upload}", "0123456789abcdef0123456789abcdef");
            let parsed = parse(method, &format!("{target}?digest={D}"));
            assert_eq!(
                parsed.is_ok(),
                Operation::TABLE.contains(&(method, *path)),
                "{method:?} {path}: {parsed:?}"
            );
            if let Ok(operation) = parsed {
                found[number(&operation)] = true;
            }
        }
        assert_eq!(found, [true; 14]);
    }

    #[test]
    fn every_route_parses_to_its_operation() {
        use Method::{Delete, Get, Head, Patch, Post, Put};
        let id = "0123456789abcdef0123456789abcdef";
        for (method, target, name) in [
            (Get, "/v2/".to_owned(), "base"),
            (Get, "/v2".to_owned(), "base"),
            (Get, "/v2/_catalog?n=5".to_owned(), "catalog"),
            (Get, "/v2/a/b/tags/list".to_owned(), "list_tags"),
            (Get, "/v2/a/manifests/latest".to_owned(), "pull_manifest"),
            (Head, format!("/v2/a/b/manifests/{D}"), "pull_manifest"),
            (Put, "/v2/a/manifests/x?tag=y&tag=z".to_owned(), "put_manifest"),
            (Delete, format!("/v2/a/manifests/{D}"), "delete_manifest"),
            (Get, format!("/v2/a/blobs/{}", D.replace(':', "%3A")), "pull_blob"),
            (Delete, format!("/v2/a/blobs/{D}"), "delete_blob"),
            (Post, "/v2/a/b/c/blobs/uploads/".to_owned(), "start_upload"),
            (Post, format!("/v2/a/blobs/uploads?digest={D}"), "start_upload"),
            (Get, format!("/v2/a/blobs/uploads/{id}"), "upload_status"),
            (Patch, format!("/v2/a/blobs/uploads/{id}"), "upload_chunk"),
            (Put, format!("/v2/a/blobs/uploads/{id}?digest={D}"), "finish_upload"),
            (Delete, format!("/v2/a/blobs/uploads/{id}"), "cancel_upload"),
            (Get, format!("/v2/a/referrers/{D}?artifactType=a%2Fb"), "list_referrers"),
            (Get, "/v2/blobs/uploads/tags/list".to_owned(), "list_tags"),
            (Get, "/v2/a/manifests/manifests/x".to_owned(), "pull_manifest"),
        ] {
            assert_eq!(parse(method, &target).map(|operation| operation.name()), Ok(name), "{target}");
        }
    }

    #[test]
    fn other_spellings_of_a_name_are_refused() {
        for target in [
            "/v2/%61/x/tags/list",
            "/v2/a%2Fx/tags/list",
            "/v2/a//x/tags/list",
            "/v2/a/./x/tags/list",
            "/v2/a/../b/tags/list",
            "/v2/a;b/tags/list",
            "/v2/A/tags/list",
            "/V2/_catalog",
            "/v2//_catalog",
            "/v2/_catalog/",
            "/%76%32/_catalog",
            "/v2/a/tags/list/",
            "/v2/tags/list",
            "/v3/",
            "/v2x/",
        ] {
            assert!(parse(Method::Get, target).is_err(), "{target}");
        }
    }

    #[test]
    fn digests_outside_the_grammar_are_refused() {
        for digest in [
            "sha256:../..",
            "sha256:%2e%2e",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:E3B0",
            "sha256+b64:x",
        ] {
            let answer = parse(Method::Get, &format!("/v2/a/blobs/{digest}"));
            let refused = matches!(
                answer,
                Err(OperationError::Invalid(ErrorCode::DigestInvalid, _) | OperationError::NotFound)
            ) || matches!(answer, Err(OperationError::Invalid(ErrorCode::NameInvalid, _)));
            assert!(refused, "{digest}: {answer:?}");
        }
    }

    #[test]
    fn mount_from_a_malformed_name_is_an_upload() {
        let answer = parse(Method::Post, &format!("/v2/b/x/blobs/uploads/?mount={D}&from=../a/x"));
        assert!(matches!(answer, Ok(Operation::StartUpload { mount: None, digest: None, .. })));
        let answer = parse(Method::Post, &format!("/v2/b/x/blobs/uploads/?mount={D}"));
        assert!(matches!(answer, Ok(Operation::StartUpload { mount: Some(Mount { from: None, .. }), .. })));
    }

    #[test]
    fn other_methods_say_what_is_allowed() {
        assert_eq!(
            parse(Method::Post, "/v2/a/tags/list"),
            Err(OperationError::MethodNotAllowed("GET, HEAD"))
        );
        let answer = parse(Method::Put, &format!("/v2/a/blobs/{D}"));
        assert_eq!(answer, Err(OperationError::MethodNotAllowed("GET, HEAD, DELETE")));
    }
}
