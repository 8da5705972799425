//! Byte ranges: `Range` of a GET (RFC 9110 §14) and `Content-Range` of an upload chunk (OCI distribution
//! specification, "Pushing a blob in chunks": `<start>-<end>`, inclusive).

/// A byte range that a client asked for, resolved against a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// Number of bytes, at least 1.
    pub len: u64,
}

/// Why a range cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Nothing of the range lies inside the blob: 416.
    #[error("range lies outside the blob")]
    Unsatisfiable,
    /// A chunk's `Content-Range` is not `<start>-<end>`.
    #[error("content-range is not of the form `start-end`")]
    Form,
}

impl ByteRange {
    /// Resolves a `Range` header against `size`. `Ok(None)` means: serve the whole blob, as RFC 9110 asks for a
    /// header of another unit, a malformed one, or several ranges (which a server may ignore).
    pub fn resolve(header: &str, size: u64) -> Result<Option<Self>, RangeError> {
        let Some(spec) = header.trim().strip_prefix("bytes=") else { return Ok(None) };
        let Some((first, last)) = spec.split_once('-') else { return Ok(None) };
        let (first, last) = (first.trim(), last.trim());
        if spec.contains(',') {
            return Ok(None);
        }
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true if !text.is_empty() => Some(text.parse::<u64>().unwrap_or(u64::MAX)),
            _ => None,
        };
        if first.is_empty() {
            let Some(suffix) = number(last) else { return Ok(None) };
            let len = suffix.min(size);
            return if len == 0 {
                Err(RangeError::Unsatisfiable)
            } else {
                Ok(Some(Self { start: size - len, len }))
            };
        }
        let Some(start) = number(first) else { return Ok(None) };
        let end = match last {
            "" => u64::MAX,
            _ => match number(last) {
                Some(end) if end >= start => end,
                // RFC 9110 would let a server ignore it; the conformance suite asks for 416, as it names no byte.
                Some(_) => return Err(RangeError::Unsatisfiable),
                None => return Ok(None),
            },
        };
        if start >= size {
            return Err(RangeError::Unsatisfiable);
        }
        Ok(Some(Self { start, len: end.min(size - 1) - start + 1 }))
    }

    /// Last byte, inclusive.
    pub fn last(&self) -> u64 {
        self.start + self.len - 1
    }
}

/// The place of an upload chunk: inclusive byte positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
}

impl ContentRange {
    /// Parses `start-end`; `bytes start-end/total` as RFC 9110 writes it is accepted too.
    pub fn parse(header: &str) -> Result<Self, RangeError> {
        let text = header.trim();
        let text = text.strip_prefix("bytes ").map_or(text, str::trim);
        let text = text.split('/').next().unwrap_or_default();
        let (start, end) = text.split_once('-').ok_or(RangeError::Form)?;
        let number = |part: &str| {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(RangeError::Form);
            }
            part.parse::<u64>().map_err(|_| RangeError::Form)
        };
        let (start, end) = (number(start)?, number(end)?);
        if end < start { Err(RangeError::Form) } else { Ok(Self { start, end }) }
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        (self.end - self.start).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_resolve_as_rfc_9110_says() {
        let part = |start, len| Ok(Some(ByteRange { start, len }));
        for (header, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-", part(0, 10)),
            ("bytes=5-100", part(5, 5)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-100", part(0, 10)),
            ("bytes=-0", Err(RangeError::Unsatisfiable)),
            ("bytes=10-", Err(RangeError::Unsatisfiable)),
            ("bytes=3-2", Err(RangeError::Unsatisfiable)),
            ("bytes=a-b", Ok(None)),
            ("items=0-1", Ok(None)),
            ("bytes=0-1,3-4", Ok(None)),
            ("bytes=18446744073709551616-", Err(RangeError::Unsatisfiable)),
        ] {
            assert_eq!(ByteRange::resolve(header, 10), expected, "{header}");
        }
        assert_eq!(ByteRange::resolve("bytes=0-0", 0), Err(RangeError::Unsatisfiable));
    }

    #[test]
    fn chunk_ranges_parse_in_both_spellings() {
        assert_eq!(ContentRange::parse("0-9").unwrap().len(), 10);
        assert_eq!(ContentRange::parse("bytes 5-9/10"), Ok(ContentRange { start: 5, end: 9 }));
        for bad in ["", "9", "9-5", "a-b", "-5", "5-", "99999999999999999999-1"] {
            assert_eq!(ContentRange::parse(bad), Err(RangeError::Form), "{bad}");
        }
    }
}
