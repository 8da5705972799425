//! The parser in front of everything: method, path and query.
//!
//! What it takes has one meaning: the operation's repository is spelled in the path as it was asked for, and nothing
//! of the path is left over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Method, Operation};

const METHODS: [Method; 6] =
    [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete];

fuzz_target!(|input: &[u8]| {
    let Some((method, rest)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    for path in [path.to_owned(), format!("/v2/{path}")] {
        let Ok(operation) = Operation::parse(METHODS[usize::from(*method) % 6], &path, query) else { continue };
        assert!(path.starts_with("/v2"), "{path:?}");
        assert!(!operation.name().is_empty());
        let Some(repo) = operation.repo() else { continue };
        let named = path.strip_prefix("/v2/").and_then(|rest| rest.strip_prefix(repo.asked()));
        let rest = named.unwrap_or_else(|| panic!("{path:?} is not about {}", repo.asked()));
        let kinds = ["/manifests/", "/blobs/", "/tags/list", "/referrers/"];
        assert!(kinds.iter().any(|kind| rest.starts_with(kind)), "{path:?}: {rest:?}");
    }
});
