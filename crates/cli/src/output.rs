//! Files, standard output, standard error.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;

/// Writes a result: to standard output, or to a file that appears only when it is whole.
pub(crate) fn write(bytes: &[u8], target: Option<&Path>) -> anyhow::Result<()> {
    let Some(target) = target.filter(|path| *path != Path::new("-")) else {
        let mut out = io::stdout().lock();
        return match out.write_all(bytes).and_then(|()| out.flush()) {
            // The reader has seen enough (`| head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.context("standard output cannot be written"),
        };
    };
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let partial = target.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let written = std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, target));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written.with_context(|| format!("{} cannot be written", target.display()))
}

/// One line on standard error, with all causes.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut line = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause);
        }
    }
    note(&format!("bonded: {}", line.replace('\n', " ")));
}

/// A line on standard error.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Progress, shown only to a person.
pub(crate) fn progress(line: &str) {
    if io::stderr().is_terminal() {
        note(line);
    }
}
