//! Package managers in `RUN`: what must accompany an installation so that it is repeatable, unattended and small.

use super::super::shell::{commands, program, runs};

/// Managers whose installations must be followed by a clean-up in the same instruction.
const CLEANED: &[(&str, &[&str], &[&str])] = &[
    ("yum", &["install", "reinstall", "localinstall", "groupinstall"], &["clean"]),
    ("dnf", &["install", "in", "reinstall", "rei", "install-n", "install-na", "install-nevra"], &["clean"]),
    ("microdnf", &["install", "reinstall"], &["clean"]),
    ("zypper", &["install", "in", "remove", "rm", "source-install", "si", "patch"], &["clean", "cc"]),
];

/// Whether a command text installs with `manager` and does not clean its cache after the last installation.
pub(super) fn leaves_cache(text: &str, manager: &str) -> bool {
    let Some((_, installs, cleans)) = CLEANED.iter().find(|(name, ..)| *name == manager) else {
        return false;
    };
    let commands = commands(text);
    let last = |subcommands: &[&str]| {
        commands.iter().rposition(|command| {
            runs(command, &[manager], subcommands)
                && (manager == "zypper" || subcommands != *cleans || command.iter().any(|word| word == "all"))
        })
    };
    let removed = |position: &usize| {
        let cache = format!("/var/cache/{}", if manager == "microdnf" { "dnf" } else { manager });
        commands[*position..]
            .iter()
            .any(|command| program(command) == "rm" && command.iter().any(|word| word.contains(&cache)))
    };
    match (last(installs), last(cleans)) {
        (Some(install), Some(clean)) => install > clean && !removed(&install),
        (Some(install), None) => !removed(&install),
        (None, _) => false,
    }
}

/// Commands of `apt-get install`.
fn apt_installs(text: &str) -> Vec<Vec<String>> {
    commands(text).into_iter().filter(|command| runs(command, &["apt-get"], &["install"])).collect()
}

/// `apt-get install` that would ask: no `-y`, `-qq`, `--yes`, `--assume-yes`.
pub(super) fn apt_asks(text: &str) -> bool {
    // `DEBIAN_FRONTEND` does not answer apt's own question; a piped `yes` does.
    if commands(text).iter().any(|command| program(command) == "yes") {
        return false;
    }
    apt_installs(text).iter().any(|command| {
        !command.iter().any(|word| match word.strip_prefix('-') {
            Some("-yes" | "-assume-yes" | "-force-yes" | "-allow-downgrades --yes") => true,
            Some(flags) if !flags.starts_with('-') => {
                flags.contains('y') || flags.matches('q').count() >= 2 || flags.starts_with("q=2")
            }
            _ => false,
        })
    })
}

/// `apt-get install` that pulls in recommended packages.
pub(super) fn apt_recommends(text: &str) -> bool {
    let off = |word: &String| {
        let word = word.replace(' ', "").to_lowercase();
        word == "--no-install-recommends"
            || word.contains("install-recommends=0")
            || word.contains("install-recommends=false")
    };
    apt_installs(text).iter().any(|command| !command.iter().any(off))
}

/// `apt-get dist-upgrade`.
pub(super) fn dist_upgrade(text: &str) -> bool {
    commands(text).iter().any(|command| runs(command, &["apt-get", "apt"], &["dist-upgrade", "full-upgrade"]))
}

/// `apk add` without `--no-cache`, unless the cache is removed in the same instruction.
pub(super) fn apk_caches(text: &str) -> bool {
    let commands = commands(text);
    let removes = commands.iter().any(|command| {
        program(command) == "rm" && command.iter().any(|word| word.contains("/var/cache/apk"))
    });
    !removes
        && commands.iter().any(|command| {
            runs(command, &["apk"], &["add"])
                && !command.iter().any(|word| word == "--no-cache" || word == "--no-cache=true")
        })
}

const UPDATERS: &[(&[&str], &[&str])] = &[
    (&["apt-get", "apt"], &["update"]),
    (&["yum"], &["update", "up"]),
    (&["apk"], &["update", "up"]),
    (&["dnf"], &["update", "up"]),
    (&["zypper"], &["update", "up", "refresh", "ref"]),
];

/// An index update that no installation of the same manager follows in the same instruction.
pub(super) fn lonely_update(text: &str) -> bool {
    let commands = commands(text);
    let installs = [
        "upgrade",
        "install",
        "source-install",
        "reinstall",
        "groupinstall",
        "localinstall",
        "add",
        "in",
        "dist-upgrade",
        "full-upgrade",
        "build-dep",
    ];
    UPDATERS.iter().any(|(managers, updates)| {
        let update = commands.iter().position(|command| {
            runs(command, managers, updates) && !command.iter().any(|word| word.starts_with("--update"))
        });
        let install = commands.iter().rposition(|command| runs(command, managers, &installs));
        match (update, install) {
            (Some(update), Some(install)) => install < update,
            (Some(_), None) => true,
            (None, _) => false,
        }
    })
}
