//! Every importer: the first line of the input is the name, the rest the document or archive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::advisory::import::ImportLimits;
use vuln::db::{Db, FeedDraft, ShrinkPolicy, Update};

fuzz_target!(|input: &[u8]| {
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (name, content) = input.split_at(line);
    let limits = ImportLimits { max_document_bytes: 4 << 20, max_total_bytes: 16 << 20, max_documents: 1000, max_archive_depth: 3 };
    let mut draft = FeedDraft::new("fuzz", "fuzz", "2026-11-21T00:00:00Z");
    if draft.import(&String::from_utf8_lossy(name), content, &limits).is_ok() {
        let mut update = Update::new();
        if update.put(draft, ShrinkPolicy::Allow).is_ok() {
            let bytes = update.finish();
            Db::open(&bytes).and_then(|db| db.verify()).expect("what was written can be read");
        }
    }
});
