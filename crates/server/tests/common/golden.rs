//! Files that the code makes and people review: kept in the repository, made anew with `UPDATE_GOLDEN=1`.

use std::path::Path;

/// Compares what the code makes with the file at `path`, relative to the crate.
#[track_caller]
pub(crate) fn golden(path: impl AsRef<Path>, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, made).expect("write");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
    let (old, new) = differs.unwrap_or(("(another length)", "(another length)"));
    assert!(
        kept == made,
        "{} is not what the code makes: run this test with UPDATE_GOLDEN=1 and review\n-{old}\n+{new}",
        path.display()
    );
}
