//! Ignore files applied to what is no vulnerability: those were judged by the matcher, which knows their packages.

use super::{ScanReport, Section};
use crate::matching::{Ignorable, IgnoreFile, Suppression};

impl ScanReport {
    /// Marks what rules of a file excuse, with their reason, on a day (`YYYY-MM-DD`).
    pub fn ignore(&mut self, file: &IgnoreFile, today: &str) {
        let judge = |section, ids: Vec<&str>, path: &str, suppressed: &[Suppression]| {
            let excuse = file.excuse(&Ignorable { section, ids, purl: None, paths: vec![path] }, today);
            excuse.filter(|excuse| !suppressed.contains(excuse))
        };
        for it in self.secrets.iter_mut().flatten() {
            it.suppressed.extend(judge(Section::Secret, vec![&it.id], &it.path, &it.suppressed));
        }
        for it in self.misconfigurations.iter_mut().flatten() {
            let ids = std::iter::once(&it.id).chain(&it.aliases).map(String::as_str).collect();
            it.suppressed.extend(judge(Section::Misconfiguration, ids, &it.path, &it.suppressed));
        }
        for it in self.licenses.iter_mut().flatten() {
            it.suppressed.extend(judge(Section::License, vec![&it.license], &it.path, &it.suppressed));
        }
        for it in self.malware.iter_mut().flatten() {
            let (digest, hex) = (it.digest.to_string(), it.digest.hex());
            let ids = vec![it.name.as_str(), &digest, &hex];
            it.suppressed.extend(judge(Section::Malware, ids, &it.path, &it.suppressed));
        }
    }
}
