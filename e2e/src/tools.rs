//! Programs of others that the suites use when they are there, and how a test says that they are not.
//!
//! A program is looked for in `PATH` and in the cache that `./test --all` fills. A test that cannot run prints one
//! line `skipped: …` and passes; the test script counts these lines, so nothing is skipped silently.

use std::path::PathBuf;

use crate::environment;

/// The directory that `./test --all` builds clients into, outside the clone.
pub fn cache() -> PathBuf {
    let base = environment::variable("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || environment::variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
    base.or_else(home).unwrap_or_else(std::env::temp_dir).join("bonded-tools/bin")
}

/// Where the program lies, `None` if it is not installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = [cache()].into_iter().chain(std::env::split_paths(&path));
    dirs.map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// What a test that needs these programs must say instead of running; `None` if it can run.
pub fn missing(programs: &[&str], needs_root: bool) -> Option<String> {
    if !environment::wants_all() {
        return Some(format!("{} (./test --all runs it)", programs.join(", ")));
    }
    if needs_root && !environment::is_root() {
        return Some(format!("{}: needs root", programs.join(", ")));
    }
    let absent: Vec<&str> = programs.iter().copied().filter(|p| find(p).is_none()).collect();
    (!absent.is_empty()).then(|| format!("{}: not installed", absent.join(", ")))
}

/// What a test that needs this much of the temporary directory must say instead of running; `None` if it is free.
pub fn lack_of_space(bytes: u64) -> Option<String> {
    let dir = std::env::temp_dir();
    let free = rustix::fs::statvfs(&dir).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize)).ok()?;
    let mib = |bytes: u64| bytes / (1024 * 1024);
    (free < bytes).then(|| format!("{} of {} MiB are free in {}", mib(free), mib(bytes), dir.display()))
}

/// Tells a measured figure, in the form that the test script shows.
#[expect(clippy::print_stdout, reason = "the line is the suites' protocol with the script that runs them")]
pub fn figure(text: &str) {
    println!("figure: {text}");
}

/// Says that a test did not run, in the form that the test script counts.
#[expect(clippy::print_stdout, reason = "the line is the suites' protocol with the script that runs them")]
pub fn skipped(why: &str) {
    println!("skipped: {why}");
}

/// Returns from the test with a `skipped:` line unless these programs are there (`root;` first: and we are root).
#[macro_export]
macro_rules! require {
    (root; $($program:expr),* $(,)?) => {
        $crate::require!(@ true, $($program),*)
    };
    (@ $root:expr, $($program:expr),*) => {
        if let Some(why) = $crate::tools::missing(&[$($program),*], $root) {
            $crate::tools::skipped(&format!("{}: {why}", module_path!()));
            return Ok(());
        }
    };
    ($($program:expr),* $(,)?) => {
        $crate::require!(@ false, $($program),*)
    };
}
