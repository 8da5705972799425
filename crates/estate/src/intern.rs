//! What a writer has met, each thing once and by number.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Values by number.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    numbers: HashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), values: Vec::new() }
    }
}

impl<T: Hash + Eq> Interner<T> {
    pub(crate) fn id(&mut self, value: T) -> u32 {
        if let Some(id) = self.numbers.get(&value) {
            return *id;
        }
        let id = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let value = Arc::new(value);
        self.values.push(Arc::clone(&value));
        self.numbers.insert(value, id);
        id
    }

    pub(crate) fn at(&self, id: u32) -> &T {
        &self.values[id as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().map(Arc::as_ref)
    }
}

/// Texts by number; looking one up copies nothing.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    numbers: HashMap<Arc<str>, u32>,
    values: Vec<Arc<str>>,
}

impl Strings {
    pub(crate) fn id(&mut self, text: &str) -> u32 {
        if let Some(id) = self.numbers.get(text) {
            return *id;
        }
        let id = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.values.push(Arc::clone(&text));
        self.numbers.insert(text, id);
        id
    }

    /// Number plus one, nought for absence.
    pub(crate) fn optional(&mut self, text: Option<&str>) -> u32 {
        text.map_or(0, |t| self.id(t) + 1)
    }

    pub(crate) fn at(&self, id: u32) -> &str {
        &self.values[id as usize]
    }

    pub(crate) fn text(&self, optional: u32) -> Option<&str> {
        optional.checked_sub(1).map(|id| self.at(id))
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(AsRef::as_ref)
    }
}

/// A package's row: numbers of strings, one higher where it may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PackageRow {
    pub(crate) title: u32,
    pub(crate) namespace: u32,
    pub(crate) name: u32,
    pub(crate) version: u32,
    pub(crate) arch: u32,
    pub(crate) source_name: u32,
    pub(crate) source_version: u32,
    pub(crate) module: u32,
    pub(crate) platform: u32,
    pub(crate) flags: u32,
}

/// A title: packaging system, text, bytes of the bare name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TitleRow {
    pub(crate) kind: u32,
    pub(crate) text: Box<str>,
    pub(crate) bare: u32,
}

impl TitleRow {
    /// What titles are sorted by.
    pub(crate) fn key(&self) -> (u32, &str, &str) {
        (self.kind, &self.text[self.text.len() - self.bare as usize..], &self.text)
    }
}

/// A component's row; the lists are ascending.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ComponentRow {
    pub(crate) package: u32,
    pub(crate) paths: Box<[u32]>,
    pub(crate) licenses: Box<[u32]>,
    pub(crate) hashes: Box<[u32]>,
}
