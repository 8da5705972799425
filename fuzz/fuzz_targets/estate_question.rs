//! Questions as people write them.
#![no_main]

use estate::search::Query;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    if let Err(error) = Query::parse(input) {
        assert!(!error.to_string().is_empty());
    }
});
