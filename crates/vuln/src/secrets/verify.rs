//! Checks of a token against its own checksum or form; none needs a network.

use data_encoding::{BASE64, BASE64URL_NOPAD};

/// Whether a matched text can be a token of its kind.
pub(super) type Verify = fn(&str) -> bool;

/// The check of a name used in the rule file.
pub(super) fn by_name(name: &str) -> Option<Verify> {
    match name {
        "github" => Some(github),
        "github-fine-grained" => Some(github_fine_grained),
        "jwt" => Some(jwt),
        "pem" => Some(pem),
        "basic" => Some(basic),
        _ => None,
    }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The last six characters of GitHub's and npm's tokens: CRC-32 of the random part in base 62.
pub(super) fn base62_checksum(body: &str) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(body.as_bytes());
    let mut rest = crc.sum();
    let mut out = [b'0'; 6];
    for slot in out.iter_mut().rev() {
        *slot = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `prefix_` + 30 random characters + 6 of checksum.
fn github(token: &str) -> bool {
    let Some((_, body)) = token.split_once('_') else { return false };
    body.len() == 36 && body.is_char_boundary(30) && base62_checksum(&body[..30]) == body[30..]
}

/// The issuer has not published this form's checksum: only its alphabet and lengths are known.
fn github_fine_grained(token: &str) -> bool {
    token.len() == 93
}

/// A header that is a JSON object with `alg`, and a payload that is a JSON object.
fn jwt(token: &str) -> bool {
    let mut parts = token.split('.');
    let mut object = || {
        let bytes = BASE64URL_NOPAD.decode(parts.next()?.as_bytes()).ok()?;
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).ok()
    };
    let header = object().is_some_and(|header| header.contains_key("alg"));
    header && object().is_some()
}

/// A body of base 64 that is long enough for a key.
fn pem(text: &str) -> bool {
    let lines = text.replace("\\n", "\n");
    let body: usize = lines
        .lines()
        .filter(|line| !line.contains("-----") && !line.contains(':'))
        .map(|line| {
            line.bytes().filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')).count()
        })
        .sum();
    body >= 40
}

/// `user:password` in base 64.
fn basic(text: &str) -> bool {
    let decoded = BASE64.decode(text.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.is_some_and(|pair| {
        pair.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty())
    })
}
