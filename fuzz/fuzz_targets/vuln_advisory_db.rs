//! The advisory database read from foreign bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::db::Db;
use vuln::matching::query;

fuzz_target!(|input: &[u8]| {
    if let Ok(db) = Db::open(input) {
        for scope in db.scopes() {
            let _ = query(&db, scope, "a", "1.0");
        }
        if let Ok(all) = db.by_id("CVE-2020-1") {
            for at in all {
                let _ = (db.head(at), db.details(at));
            }
        }
        let _ = (db.epss("CVE-2020-1"), db.kev("CVE-2020-1"), db.end_of_life("a", "1"));
    }
});
