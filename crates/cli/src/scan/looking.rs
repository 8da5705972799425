//! Looks at the files of all layers of a source, which are catalogued in parallel.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use vuln::look::{self, Interest, Look, Seen};
use vuln::{FileVisitor, LayerResult};

use crate::source::Visitors;

/// What to look for, and what the layers' visitors have found so far.
pub(super) struct Looking<'a> {
    interest: Interest<'a>,
    seen: Mutex<BTreeMap<usize, Seen>>,
}

impl<'a> Looking<'a> {
    pub(super) fn new(interest: Interest<'a>) -> Self {
        Self { interest, seen: Mutex::default() }
    }

    /// Everything that was seen, as the image's layers let it be.
    pub(super) fn finish(self, layers: &[LayerResult]) -> Seen {
        let mut seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        let count = seen.keys().next_back().map_or(0, |last| last + 1);
        look::combine(layers, (0..count).map(|layer| seen.remove(&layer).unwrap_or_default()).collect())
    }
}

impl Visitors for Looking<'_> {
    fn visitor(&self, layer: usize) -> Box<dyn FileVisitor + '_> {
        Box::new(Layer { looking: self, position: layer, look: Some(Look::new(self.interest)) })
    }
}

struct Layer<'a> {
    looking: &'a Looking<'a>,
    position: usize,
    look: Option<Look<'a>>,
}

impl Drop for Layer<'_> {
    fn drop(&mut self) {
        let Some(look) = self.look.take() else { return };
        let mut all = self.looking.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(self.position, look.finish());
    }
}

impl FileVisitor for Layer<'_> {
    fn directory(&mut self, path: &str, mode: u32) {
        if let Some(look) = &mut self.look {
            look.directory(path, mode);
        }
    }

    fn wants(&mut self, path: &str, size_bytes: u64, mode: u32) -> bool {
        self.look.as_mut().is_some_and(|look| look.wants(path, size_bytes, mode))
    }

    fn piece(&mut self, bytes: &[u8]) {
        if let Some(look) = &mut self.look {
            look.piece(bytes);
        }
    }

    fn end(&mut self) {
        if let Some(look) = &mut self.look {
            look.end();
        }
    }
}
