//! An OCI image layout in a directory.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use vuln::image::Files;

/// The directory of a layout.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// A layout by its directory.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

impl Files for Layout {
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        let path = Path::new(path);
        // Names come from foreign documents: only plain ones stay inside the layout.
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(None);
        }
        match File::open(self.root.join(path)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
