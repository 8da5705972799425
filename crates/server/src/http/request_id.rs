//! The name of one request, in its answer, its log line and its audit row.
//!
//! A client's `X-Request-Id` is kept if it is 1 to 64 letters, digits, `.`, `_` or `-`: anything else could forge log
//! lines or blow them up. Otherwise one is made: 16 hexadecimal digits that never repeat within a process.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// As text.
    pub fn as_str(&self) -> &str {
        // Made only of ASCII letters, digits and `._-`.
        self.0.to_str().unwrap_or_default()
    }

    /// As the value of a header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    fn sane(value: &HeaderValue) -> bool {
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (1..=64).contains(&value.len()) && value.as_bytes().iter().all(good)
    }
}

/// Makes the ids of a process.
#[derive(Debug)]
pub struct RequestIds {
    seed: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Ids that differ from those of a process with another seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, next: AtomicU64::new(0) }
    }

    /// The client's id if it is sane, else a new one.
    pub fn of(&self, headers: &HeaderMap) -> RequestId {
        match headers.get(X_REQUEST_ID) {
            Some(given) if RequestId::sane(given) => RequestId(given.clone()),
            _ => self.make(),
        }
    }

    fn make(&self) -> RequestId {
        // The finaliser of SplitMix64: a bijection, so ids of one process differ; it hides the count of requests.
        let mut z = self
            .seed
            .wrapping_add(self.next.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let mut text = [0_u8; 16];
        for (at, digit) in text.iter_mut().enumerate() {
            let nibble = (z >> (60 - 4 * at)) & 0xf;
            *digit = b"0123456789abcdef".get(usize::try_from(nibble).unwrap_or(0)).copied().unwrap_or(b'0');
        }
        RequestId(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn of(ids: &RequestIds, given: &'static [u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(given).expect("a header value"));
        ids.of(&headers).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_is_replaced() {
        let ids = RequestIds::new(7);
        assert_eq!(of(&ids, b"build-42.a_B"), "build-42.a_B");
        for bad in [&b""[..], b"a b", b"a\"b", b"\xff", &[b'a'; 65], b"a\tb", b"a/b"] {
            let made = of(&ids, bad);
            assert_eq!(made.len(), 16, "{made}");
        }
    }

    #[test]
    fn made_ids_differ() {
        let ids = RequestIds::new(1);
        let made: HashSet<String> = (0..10_000).map(|_| ids.make().as_str().to_owned()).collect();
        assert_eq!(made.len(), 10_000);
    }
}
