//! What the registered package URL types demand: namespaces, case, characters, qualifiers (purl-spec `types/`).

use super::{Purl, PurlError};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Required,
    Optional,
    Prohibited,
}
use Namespace::{Optional, Prohibited, Required};

struct Rules {
    namespace: Namespace,
    /// Parts that are not case-sensitive and are written in lower case.
    lower_namespace: bool,
    lower_name: bool,
    lower_version: bool,
}

/// The rules of a type; types that are not registered have none.
fn rules(ty: &str) -> Rules {
    let (namespace, lower) = match ty {
        "alpm" | "apk" | "bitbucket" | "composer" | "deb" | "github" => (Required, "ns,name"),
        "vscode-extension" => (Required, "ns,name,version"),
        "rpm" | "qpkg" => (Required, "ns"),
        "huggingface" => (Required, "version"),
        "git" | "golang" | "maven" | "swift" => (Required, ""),
        "brew" | "hex" | "luarocks" => (Optional, "ns,name"),
        "yocto" => (Optional, "ns"),
        "bitnami" | "otp" | "pub" | "chrome-extension" => (Prohibited, "name"),
        "oci" | "pypi" => (Prohibited, "name,version"),
        "bazel" | "cargo" | "cocoapods" | "conda" | "cran" | "gem" | "hackage" | "julia" | "mlflow"
        | "nuget" | "opam" | "vcpkg" => (Prohibited, ""),
        _ => (Optional, ""),
    };
    let has = |part: &str| lower.split(',').any(|l| l == part);
    Rules { namespace, lower_namespace: has("ns"), lower_name: has("name"), lower_version: has("version") }
}

/// Whether the name of this type is a path whose slashes stay.
pub(super) fn name_is_path(ty: &str) -> bool {
    ty == "git"
}

/// Brings the parts into the form that the type prescribes.
pub(super) fn normalize(purl: &mut Purl) {
    let rules = rules(&purl.ty);
    let lower = |text: &mut String| *text = text.to_lowercase();
    if rules.lower_namespace {
        purl.namespace.as_mut().into_iter().for_each(lower);
    }
    if rules.lower_name {
        lower(&mut purl.name);
    }
    if rules.lower_version {
        purl.version.as_mut().into_iter().for_each(lower);
    }
    match purl.ty.as_str() {
        "pypi" => purl.name = purl.name.replace('_', "-"),
        "pub" => {
            purl.name = purl.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        }
        "cpan" => purl.namespace.as_mut().into_iter().for_each(|ns| *ns = ns.to_uppercase()),
        // the host decides: Databricks' model names have no case
        "mlflow" if purl.qualifiers.get("repository_url").is_some_and(|url| url.contains("databricks")) => {
            lower(&mut purl.name);
        }
        "git" => normalize_git(purl),
        _ => {}
    }
}

/// The namespace of `git` is the host alone; the path on it is the name. GitHub's paths have no case.
fn normalize_git(purl: &mut Purl) {
    let Some(namespace) = &purl.namespace else { return };
    if let Some((host, path)) = namespace.split_once('/') {
        purl.name = format!("{path}/{}", purl.name);
        purl.namespace = Some(host.to_owned());
    }
    if purl.namespace.as_deref().is_some_and(|host| matches!(host, "github" | "github.com")) {
        purl.name = purl.name.to_lowercase();
    }
}

/// Checks what the type demands. Leniently only what makes it another identity is an error.
pub(super) fn check(purl: &Purl, strict: bool) -> Result<(), PurlError> {
    let broken = |rule| Err(PurlError::TypeRule { type_name: purl.ty.clone(), rule });
    if !strict {
        return Ok(());
    }
    match (rules(&purl.ty).namespace, &purl.namespace) {
        (Required, None) => return broken("a namespace is required"),
        (Prohibited, Some(_)) => return broken("a namespace is prohibited"),
        _ => {}
    }
    match purl.ty.as_str() {
        "cpan" if purl.name.contains("::") => broken("the name is a distribution, not a module"),
        "julia" if purl.qualifier("uuid").is_none() => broken("qualifier uuid is required"),
        "swid" if purl.qualifier("tag_id").is_none() => broken("qualifier tag_id is required"),
        "cocoapods" if purl.name.starts_with('.') || purl.name.contains(['+', ' ']) => {
            broken("the name has characters that are not allowed")
        }
        "chrome-extension" if !is_extension_id(&purl.name) => broken("the name is 32 letters from a to p"),
        "chrome-extension" if !purl.version.as_deref().is_none_or(is_extension_version) => {
            broken("the version is one to four numbers")
        }
        _ => Ok(()),
    }
}

fn is_extension_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| (b'a'..=b'p').contains(&b))
}

fn is_extension_version(version: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    version.split('.').count() <= 4 && version.split('.').all(number)
}
