//! Infrastructure code, image configurations and secrets: the first line of the input is the path, the rest the content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::misconfig::{dockerfile, files, image, kubernetes, terraform};
use vuln::secrets::SecretRules;

fuzz_target!(|input: &[u8]| {
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (path, content) = input.split_at(line);
    let path = String::from_utf8_lossy(path);
    let rules = SecretRules::embedded().expect("our own rules");
    rules.scan(&path, content);
    if let Ok(config) = serde_json::from_slice(content) {
        image::check(&config);
        image::history(&config);
        rules.scan_config(&config);
    }
    let Ok(text) = std::str::from_utf8(content) else { return };
    dockerfile::check(&path, text);
    kubernetes::check(&path, text);
    terraform::check(&path, text);
    files::check_content(&path, text);
});
