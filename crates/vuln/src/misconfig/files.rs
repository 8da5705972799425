//! Files of an image whose mode or content is wrong: CIS Docker Benchmark 4.8 and its neighbours.

use super::{Finding, rules_of};

/// Facts about one entry of a layer.
#[derive(Clone, Copy, Debug)]
pub struct FileFacts<'a> {
    /// Path without a leading slash.
    pub path: &'a str,
    /// Permission bits with setuid (0o4000), setgid (0o2000) and sticky (0o1000).
    pub mode: u32,
    /// Whether it is a directory.
    pub directory: bool,
}

/// Findings of one file by its mode.
pub fn check_mode(facts: &FileFacts<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut add = |check: &str, message: String| {
        let rule = rules_of("files").iter().find(|rule| rule.check.as_deref() == Some(check));
        out.extend(rule.map(|rule| rule.finding(facts.path, None, &message)));
    };
    let octal = facts.mode & 0o7777;
    if !facts.directory && octal & 0o6000 != 0 {
        let bits = if octal & 0o4000 != 0 { "setuid" } else { "setgid" };
        add("setuid", format!("{bits} program with mode {octal:04o}"));
    }
    // A sticky directory (`/tmp`) is meant to be writable by all.
    if octal & 0o002 != 0 && !(facts.directory && octal & 0o1000 != 0) && !facts.path.starts_with("dev/") {
        add("world_writable", format!("writable by everyone, mode {octal:04o}"));
    }
    out
}

/// Findings of account files; others have none.
pub fn check_content(path: &str, text: &str) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut add = |check: &str, line: usize, message: String| {
        let rule = rules_of("files").iter().find(|rule| rule.check.as_deref() == Some(check));
        out.extend(rule.map(|rule| rule.finding(path, Some((line, line)), &message)));
    };
    let mut ids = std::collections::HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split(':').collect();
        match (path, fields.as_slice()) {
            ("etc/shadow", [user, "", ..]) if !user.is_empty() => {
                add("empty_password", number + 1, format!("user `{user}` has no password"));
            }
            ("etc/passwd", [user, _, uid, ..]) if !uid.is_empty() => {
                if let Some(other) = ids.insert((*uid).to_owned(), (*user).to_owned()) {
                    add(
                        "duplicate_uid",
                        number + 1,
                        format!("users `{other}` and `{user}` share the id {uid}"),
                    );
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_accounts_are_judged() {
        let ids = |path, mode, directory| {
            let found = check_mode(&FileFacts { path, mode, directory });
            found.into_iter().map(|finding| finding.id).collect::<Vec<_>>()
        };
        assert_eq!(ids("usr/bin/su", 0o4755, false), ["BD-FS-001"]);
        assert_eq!(ids("tmp", 0o1777, true), Vec::<String>::new());
        assert_eq!(ids("srv/open", 0o666, false), ["BD-FS-002"]);
        assert_eq!(check_content("etc/shadow", "root:*:1\nbob::1\n")[0].lines, Some((2, 2)));
        assert_eq!(check_content("etc/passwd", "root:x:0:0\ntoor:x:0:0\n").len(), 1);
    }
}
