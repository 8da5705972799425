//! One segment: a view over bytes.
//!
//! Opening looks at the header and the shape of the tables, nothing else; whatever is read later is checked where it is
//! read. Within a segment images, packages, components and fragments are numbers.

use crate::bits::Bits;
use crate::container::{Container, OpenError, u64_at};
use crate::layout::{self, SECTIONS, package, title};
use crate::lists::{Lists, Texts, Words, first};
use crate::package::{FLAG_OWNED, FLAG_THIRD_PARTY, KINDS, PackageView, Seen};
use oci::{Algorithm, Digest};
use vuln::PackageKind;

const DAMAGED: OpenError = OpenError::Damaged("number out of its table");

/// A segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    file: Container<'a, SECTIONS>,
    images: DigestTable<'a>,
    removed: DigestTable<'a>,
    packages: u32,
    titles: u32,
}

/// Sorted digests, those of SHA-256 first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DigestTable<'a> {
    bytes: &'a [u8],
    sha256: u32,
    sha512: u32,
}

impl<'a> DigestTable<'a> {
    fn new(bytes: &'a [u8], sha256: u32, sha512: u32) -> Result<Self, OpenError> {
        let expected = u64::from(sha256) * 32 + u64::from(sha512) * 64;
        if bytes.len() as u64 != expected || sha256.checked_add(sha512).is_none() {
            return Err(OpenError::Damaged("table of digests"));
        }
        Ok(Self { bytes, sha256, sha512 })
    }

    pub(crate) fn len(&self) -> u32 {
        self.sha256 + self.sha512
    }

    pub(crate) fn at(&self, index: u32) -> Result<Digest, OpenError> {
        let (algorithm, start) = if index < self.sha256 {
            (Algorithm::Sha256, index as usize * 32)
        } else {
            (Algorithm::Sha512, self.sha256 as usize * 32 + (index - self.sha256) as usize * 64)
        };
        let raw = self.bytes.get(start..start + algorithm.len());
        raw.and_then(|raw| Digest::from_raw(algorithm, raw)).ok_or(DAMAGED)
    }

    /// The place of the first digest that is not below this one.
    pub(crate) fn lower_bound(&self, digest: &Digest) -> Result<u32, OpenError> {
        first(0, self.len(), |i| Ok(self.at(i)? < *digest))
    }

    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<u32>, OpenError> {
        let at = self.lower_bound(digest)?;
        Ok((at < self.len() && self.at(at)? == *digest).then_some(at))
    }
}

/// A change of a placement.
pub(crate) struct Placing {
    pub(crate) project: i64,
    pub(crate) image: Digest,
    pub(crate) placed: bool,
}

impl<'a> Segment<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let file = Container::open(bytes, layout::MAGIC)?;
        let meta = Words(file.section(layout::META));
        let images = DigestTable::new(
            file.section(layout::IMAGES),
            meta.at(layout::meta::SHA256)?,
            meta.at(layout::meta::SHA512)?,
        )?;
        let removed = DigestTable::new(
            file.section(layout::REMOVED),
            meta.at(layout::meta::REMOVED_SHA256)?,
            meta.at(layout::meta::REMOVED_SHA512)?,
        )?;
        let rows = |at: usize, words: usize| -> Result<u32, OpenError> {
            let length = file.section(at).len();
            let rows = (length / (words * 4)).checked_sub(1).filter(|_| length.is_multiple_of(words * 4));
            rows.and_then(|r| u32::try_from(r).ok()).ok_or(OpenError::Damaged("table of rows"))
        };
        let packages = rows(layout::PACKAGES, package::WORDS)?;
        let titles = rows(layout::TITLES, title::WORDS)?;
        let segment = Self { file, images, removed, packages, titles };
        segment.check_shape()?;
        Ok(segment)
    }

    /// Tables that speak of the same things have as many rows, so that no number of one is foreign to the other.
    fn check_shape(&self) -> Result<(), OpenError> {
        let components = self.components();
        let same = [
            (self.lists(layout::IMAGE_FRAGMENTS).len(), self.images.len()),
            (self.lists(layout::FRAGMENT_IMAGES).len(), self.fragments()),
            (self.lists(layout::COMPONENT_FRAGMENTS).len(), components),
            (self.lists(layout::COMPONENT_PATHS).len(), components),
            (self.lists(layout::COMPONENT_LICENSES).len(), components),
            (self.lists(layout::COMPONENT_HASHES).len(), components),
            (self.lists(layout::PATH_COMPONENTS).len(), self.texts(layout::PATHS).len()),
            (self.lists(layout::HASH_COMPONENTS).len(), self.texts(layout::HASHES).len()),
            (self.lists(layout::LICENSE_COMPONENTS).len(), self.texts(layout::LICENSES).len()),
            (self.texts(layout::TITLE_TEXTS).len(), self.titles),
            (self.lists(layout::KIND_IMAGES).len(), u32::try_from(KINDS.len()).unwrap_or(u32::MAX)),
            (self.lists(layout::PLATFORM_IMAGES).len(), self.texts(layout::PLATFORMS).len()),
            (self.lists(layout::LICENSE_IMAGES).len(), self.texts(layout::LICENSES).len()),
        ];
        let placed = self.file.section(layout::PLACED).len();
        let aligned = placed.is_multiple_of(layout::placed::BYTES)
            && self.file.section(layout::PROJECTS).len().is_multiple_of(8)
            && self.file.section(layout::LOOKUPS).len().is_multiple_of(layout::LOOKUP_BYTES);
        if same.iter().all(|(a, b)| a == b) && aligned {
            Ok(())
        } else {
            Err(OpenError::Damaged("tables of different lengths"))
        }
    }

    pub(crate) fn id(&self) -> [u8; 32] {
        self.file.id()
    }

    pub(crate) fn verify(&self) -> Result<(), OpenError> {
        self.file.verify()
    }

    pub(crate) fn lists(&self, at: usize) -> Lists<'a> {
        Lists::new(self.file.section(at), self.file.section(at + 1))
    }

    pub(crate) fn texts(&self, at: usize) -> Texts<'a> {
        Texts::new(self.file.section(at), self.file.section(at + 1))
    }

    pub(crate) fn images(&self) -> DigestTable<'a> {
        self.images
    }

    pub(crate) fn removed(&self) -> DigestTable<'a> {
        self.removed
    }

    pub(crate) fn packages(&self) -> u32 {
        self.packages
    }

    pub(crate) fn titles(&self) -> u32 {
        self.titles
    }

    pub(crate) fn components(&self) -> u32 {
        Words(self.file.section(layout::COMPONENT_PACKAGE)).len()
    }

    pub(crate) fn fragments(&self) -> u32 {
        self.lists(layout::FRAGMENT_COMPONENTS).len()
    }

    pub(crate) fn placings(&self) -> impl Iterator<Item = Result<Placing, OpenError>> + 'a {
        self.file.section(layout::PLACED).chunks_exact(layout::placed::BYTES).map(|row| {
            let algorithm = match row[9] {
                0 => Algorithm::Sha256,
                1 => Algorithm::Sha512,
                _ => return Err(OpenError::Damaged("algorithm")),
            };
            let image = Digest::from_raw(algorithm, &row[10..10 + algorithm.len()]).ok_or(DAMAGED)?;
            let project = u64_at(row, 0)?.cast_signed();
            Ok(Placing { project, image, placed: row[8] != 0 })
        })
    }

    /// Projects with images of this segment.
    pub(crate) fn projects(&self) -> impl Iterator<Item = i64> + 'a {
        let all = self.file.section(layout::PROJECTS).chunks_exact(8);
        all.map(|b| u64_at(b, 0).unwrap_or_default().cast_signed())
    }

    /// The lists that belong to [`Segment::projects`].
    pub(crate) fn project_images(&self) -> Lists<'a> {
        let count = self.file.section(layout::PROJECTS).len() / 8;
        let (ends, bytes) =
            self.file.section(layout::PROJECT_IMAGES).split_at_checked(count * 4).unwrap_or_default();
        Lists::new(ends, bytes)
    }

    /// The place of a project among [`Segment::projects`].
    pub(crate) fn project(&self, project: i64) -> Result<Option<u32>, OpenError> {
        let section = self.file.section(layout::PROJECTS);
        let count = u32::try_from(section.len() / 8).unwrap_or(u32::MAX);
        let at = |i: u32| u64_at(section, i as usize * 8).map(u64::cast_signed);
        let place = first(0, count, |i| Ok(at(i)? < project))?;
        Ok((place < count && at(place)? == project).then_some(place))
    }

    pub(crate) fn package_of(&self, component: u32) -> Result<u32, OpenError> {
        let package = Words(self.file.section(layout::COMPONENT_PACKAGE)).at(component as usize)?;
        if package < self.packages { Ok(package) } else { Err(DAMAGED) }
    }

    fn word(&self, package: u32, word: usize) -> Result<u32, OpenError> {
        Words(self.file.section(layout::PACKAGES)).at(package as usize * package::WORDS + word)
    }

    /// A package's components.
    pub(crate) fn components_of(&self, package: u32) -> Result<std::ops::Range<u32>, OpenError> {
        let start = self.word(package, package::FIRST_COMPONENT)?;
        let end = self.word(package + 1, package::FIRST_COMPONENT)?;
        if start <= end && end <= self.components() { Ok(start..end) } else { Err(DAMAGED) }
    }

    pub(crate) fn title_of(&self, package: u32) -> Result<u32, OpenError> {
        self.word(package, package::TITLE)
    }

    pub(crate) fn version_of(&self, package: u32) -> Result<&'a str, OpenError> {
        self.texts(layout::STRINGS).at(self.word(package, package::VERSION)?)
    }

    /// A package's distribution: its number plus one, nought for none.
    pub(crate) fn platform_of(&self, package: u32) -> Result<u32, OpenError> {
        self.word(package, package::PLATFORM)
    }

    /// A title's packaging system, text and bare name.
    pub(crate) fn title(&self, title: u32) -> Result<(PackageKind, &'a str, &'a str), OpenError> {
        let words = Words(self.file.section(layout::TITLES));
        let row = title as usize * title::WORDS;
        let kind = KINDS.get(words.at(row + title::KIND)? as usize).copied().ok_or(DAMAGED)?;
        let text = self.texts(layout::TITLE_TEXTS).at(title)?;
        let start = text.len().checked_sub(words.at(row + title::BARE)? as usize).ok_or(DAMAGED)?;
        Ok((kind, text, text.get(start..).ok_or(DAMAGED)?))
    }

    /// The packages of titles `first..end`.
    pub(crate) fn packages_of(
        &self,
        titles: std::ops::Range<u32>,
    ) -> Result<std::ops::Range<u32>, OpenError> {
        let words = Words(self.file.section(layout::TITLES));
        let at = |title: u32| words.at(title as usize * title::WORDS + title::FIRST_PACKAGE);
        let (start, end) = (at(titles.start)?, at(titles.end)?);
        if start <= end && end <= self.packages { Ok(start..end) } else { Err(DAMAGED) }
    }

    /// The packages that are looked up by a hash ([`layout::lookup_hash`]).
    pub(crate) fn looked_up(&self, hash: u64, mut each: impl FnMut(u32)) -> Result<(), OpenError> {
        let section = self.file.section(layout::LOOKUPS);
        let rows = u32::try_from(section.len() / layout::LOOKUP_BYTES).unwrap_or(u32::MAX);
        let at = |i: u32| u64_at(section, i as usize * layout::LOOKUP_BYTES);
        let mut row = first(0, rows, |i| Ok(at(i)? < hash))?;
        while row < rows && at(row)? == hash {
            let package = crate::container::u32_at(section, row as usize * layout::LOOKUP_BYTES + 8)?;
            if package >= self.packages {
                return Err(DAMAGED);
            }
            each(package);
            row += 1;
        }
        Ok(())
    }

    pub(crate) fn view(&self, package: u32) -> Result<PackageView<'a>, OpenError> {
        if package >= self.packages {
            return Err(DAMAGED);
        }
        let strings = self.texts(layout::STRINGS);
        let optional = |word: usize| strings.optional(self.word(package, word)?);
        let platform = self.texts(layout::PLATFORMS).optional(self.word(package, package::PLATFORM)?)?;
        let mut lines = platform.into_iter().flat_map(|p| p.split('\n'));
        let flags = self.word(package, package::FLAGS)?;
        let source_version = optional(package::SOURCE_VERSION)?.unwrap_or_default();
        Ok(PackageView {
            kind: self.title(self.title_of(package)?)?.0,
            namespace: optional(package::NAMESPACE)?,
            name: strings.at(self.word(package, package::NAME)?)?,
            version: self.version_of(package)?,
            arch: optional(package::ARCH)?,
            source: optional(package::SOURCE_NAME)?.map(|name| (name, source_version)),
            module: optional(package::MODULE)?,
            distro: lines.next(),
            scopes: lines.collect(),
            third_party: flags & FLAG_THIRD_PARTY != 0,
            owned: flags & FLAG_OWNED != 0,
        })
    }

    pub(crate) fn seen(&self, component: u32) -> Result<Seen<'a>, OpenError> {
        let texts = |list: usize, table: Texts<'a>| -> Result<Vec<&'a str>, OpenError> {
            let numbers = self.lists(list).to_vec(component, table.len())?;
            numbers.into_iter().map(|n| table.at(n)).collect()
        };
        Ok(Seen {
            package: self.view(self.package_of(component)?)?,
            paths: texts(layout::COMPONENT_PATHS, self.texts(layout::PATHS))?,
            licenses: texts(layout::COMPONENT_LICENSES, self.texts(layout::STRINGS))?,
            hashes: texts(layout::COMPONENT_HASHES, self.texts(layout::HASHES))?,
        })
    }

    /// Visits the components of an image.
    pub(crate) fn each_component(&self, image: u32, mut each: impl FnMut(u32)) -> Result<(), OpenError> {
        let components = self.lists(layout::FRAGMENT_COMPONENTS);
        for fragment in self.lists(layout::IMAGE_FRAGMENTS).to_vec(image, self.fragments())? {
            components.visit(fragment, self.components(), |c| {
                each(c);
                true
            })?;
        }
        Ok(())
    }

    /// The images that hold any of the components.
    pub(crate) fn images_with(&self, components: &Bits) -> Result<Bits, OpenError> {
        let of_components = self.lists(layout::COMPONENT_FRAGMENTS);
        let mut sizes: Vec<(u64, u32)> = components.iter().map(|c| (of_components.size(c), c)).collect();
        let total = self.lists(layout::FRAGMENT_COMPONENTS).total_size();
        // Joining reads what the components' lists hold, looking some of what all fragments hold: the more are wanted,
        // the sooner one is found.
        let all = sizes.iter().map(|(size, _)| size).sum::<u64>() <= total / 3;
        let mut fragments = Bits::new(self.fragments());
        if !all {
            // Those that most fragments have lead to most of the images; the rest is asked of what is left.
            sizes.sort_unstable_by(|a, b| b.cmp(a));
        }
        let mut budget = if all { u64::MAX } else { total / 16 };
        for (size, component) in sizes {
            let Some(left) = budget.checked_sub(size) else { break };
            budget = left;
            of_components.join(component, self.fragments(), &mut fragments)?;
        }
        if all { self.images_of(&fragments) } else { self.images_by_looking(components, fragments) }
    }

    /// The images that have any of the fragments.
    fn images_of(&self, fragments: &Bits) -> Result<Bits, OpenError> {
        let mut images = Bits::new(self.images.len());
        let of_fragments = self.lists(layout::FRAGMENT_IMAGES);
        for fragment in fragments.iter() {
            of_fragments.join(fragment, self.images.len(), &mut images)?;
        }
        Ok(images)
    }

    /// The images that hold any of the components, where these are in very many fragments: `having` are those fragments
    /// that the most spread ones are in. Of the images that have none of these the fragments are looked at, each once,
    /// until a component is found.
    fn images_by_looking(&self, components: &Bits, mut having: Bits) -> Result<Bits, OpenError> {
        let (of_images, of_fragments) =
            (self.lists(layout::IMAGE_FRAGMENTS), self.lists(layout::FRAGMENT_COMPONENTS));
        let mut lacking = Bits::new(self.fragments());
        let mut images = self.images_of(&having)?;
        for image in 0..self.images.len() {
            if images.contains(image) {
                continue;
            }
            for fragment in of_images.to_vec(image, self.fragments())? {
                let mut found = having.contains(fragment);
                if !found && !lacking.contains(fragment) {
                    of_fragments.visit(fragment, self.components(), |component| {
                        found = components.contains(component);
                        !found
                    })?;
                    if found {
                        having.insert(fragment)
                    } else {
                        lacking.insert(fragment)
                    };
                }
                if found {
                    images.insert(image);
                    break;
                }
            }
        }
        Ok(images)
    }
}
