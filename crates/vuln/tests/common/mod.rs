//! Builds layers in memory and finds the shared truth data.
#![expect(dead_code, clippy::print_stderr, reason = "each test file uses a part; a skip is said")]

use std::path::{Path, PathBuf};

use vuln::{Inventory, LayerResult, Limits, Mode, Pulse, catalogue_layer, merge};

/// A tar archive under construction.
pub(crate) struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(kind: tar::EntryType, size: usize, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(mode);
        header
    }

    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        let mut header = Self::header(tar::EntryType::Regular, content.len(), 0o755);
        self.0.append_data(&mut header, path, content).expect("append");
        self
    }

    pub(crate) fn link(mut self, kind: tar::EntryType, path: &str, target: &str) -> Self {
        let mut header = Self::header(kind, 0, 0o777);
        self.0.append_link(&mut header, path, target).expect("append");
        self
    }

    pub(crate) fn directory(mut self, path: &str) -> Self {
        let mut header = Self::header(tar::EntryType::Directory, 0, 0o755);
        self.0.append_data(&mut header, path, std::io::empty()).expect("append");
        self
    }

    pub(crate) fn tree(mut self, root: &Path, below: &str) -> Self {
        for path in files(root) {
            let name = path.strip_prefix(root).expect("inside").to_string_lossy().into_owned();
            let name = if below.is_empty() { name } else { format!("{below}/{name}") };
            self = self.file(&name, std::fs::read(&path).expect("readable"));
        }
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("tar")
    }

    pub(crate) fn result(self) -> LayerResult {
        catalogue(&self.bytes())
    }

    pub(crate) fn inventory(self) -> Inventory {
        merge(&[self.result()])
    }
}

pub(crate) fn catalogue(bytes: &[u8]) -> LayerResult {
    catalogue_layer(&bytes, Mode::Image, &Limits::default(), &|| Pulse::Go).expect("a sound layer")
}

/// All regular files below a directory, sorted.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in
            std::fs::read_dir(&directory).expect("readable").map(|entry| entry.expect("entry").path())
        {
            if entry.is_dir() { pending.push(entry) } else { found.push(entry) }
        }
    }
    found.sort();
    found
}

/// A path below the shared data, or none (and a note) where it is absent.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the test's own switch")]
    let root = std::env::var("BONDED_SHARED")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let candidates = [root.clone(), Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared")];
    let found = candidates.iter().map(|root| root.join("data").join(path)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: shared data {path} is absent");
    }
    found
}

/// `name version` of every package, sorted.
pub(crate) fn names(inventory: &Inventory) -> Vec<String> {
    inventory.packages.iter().map(|package| format!("{} {}", package.full_name(), package.version)).collect()
}
