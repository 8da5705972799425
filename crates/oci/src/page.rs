//! Paging of lists by `n` and `last` (OCI distribution specification, "Listing tags").

/// Largest page served; a larger `n` is clamped, not refused, and the answer carries a `Link`.
pub const MAX_PAGE: u32 = 10_000;

/// Longest `last` accepted, in bytes.
pub const MAX_LAST_BYTES: usize = 512;

/// A request for a part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Number of entries asked for, clamped to `MAX_PAGE`; absent when the caller did not say.
    pub n: Option<u32>,
    /// Entries after this one; it need not exist.
    pub last: Option<String>,
}

impl Page {
    /// Entries to serve.
    pub fn limit(&self) -> u32 {
        self.n.unwrap_or(MAX_PAGE)
    }

    /// Parses the two query values; `None` when `n` is not a number of digits or `last` is too long.
    pub fn parse(n: Option<&str>, last: Option<&str>) -> Option<Self> {
        let n = match n {
            None => None,
            Some(text) if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) => return None,
            Some(text) => Some(text.parse::<u32>().unwrap_or(u32::MAX).min(MAX_PAGE)),
        };
        match last {
            Some(text) if text.len() > MAX_LAST_BYTES || text.chars().any(char::is_control) => None,
            _ => Some(Self { n, last: last.filter(|text| !text.is_empty()).map(str::to_owned) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_clamped_and_nonsense_is_refused() {
        assert_eq!(Page::parse(Some("99999999999999"), None).unwrap().n, Some(MAX_PAGE));
        assert_eq!(Page::parse(Some("0"), None).unwrap().n, Some(0));
        for bad in ["-1", "abc", "", "1.5", "+1"] {
            assert_eq!(Page::parse(Some(bad), None), None, "{bad}");
        }
        assert_eq!(Page::parse(None, Some("a\r\nb")), None);
        assert_eq!(Page::parse(None, Some(&"a".repeat(1 << 20))), None);
    }
}
