//! The watcher of HTTP/1's framing: the outcome does not depend on how the bytes arrive, and heads that it takes are
//! heads that `httparse` – hyper's parser – reads as one whole request.
#![no_main]

#[path = "../../crates/server/src/http/framing.rs"]
#[expect(dead_code, reason = "the server asks it more")]
mod framing;

use framing::Framing;
use libfuzzer_sys::fuzz_target;

const MAX_HEAD: usize = 1024;

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else { return };
    let mut whole = Framing::new(MAX_HEAD);
    let taken = whole.feed(bytes).is_ok();
    let mut pieces = Framing::new(MAX_HEAD);
    let size = usize::from(*cut % 32) + 1;
    let also = bytes.chunks(size).all(|piece| pieces.feed(piece).is_ok());
    assert_eq!(taken, also, "in pieces of {size}: {:?}", String::from_utf8_lossy(bytes));
    if !taken || bytes.starts_with(b"PRI ") || bytes.starts_with(b"\r\n") {
        return;
    }
    assert_eq!((whole.in_head(), whole.in_body()), (pieces.in_head(), pieces.in_body()));
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return };
    let mut headers = [httparse::EMPTY_HEADER; 512];
    let mut request = httparse::Request::new(&mut headers);
    if let Ok(httparse::Status::Complete(length)) = request.parse(bytes) {
        assert_eq!(length, end + 4, "two readings of one head: {:?}", String::from_utf8_lossy(bytes));
    }
});
