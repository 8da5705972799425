//! Building a segment from advisories.
//!
//! Names and scopes are made canonical here and events are sorted by the ecosystem's order, so that looking up is plain.
//! Equal claims (the same range for a hundred binary packages) are stored once. An advisory stated twice counts once:
//! fragments are joined, otherwise the later change wins.

use super::blocks::Blocks;
use super::bytes::{put_delta, put_u32, put_var};
use super::segment::{self, Details, SECTIONS};
use crate::advisory::{Advisory, Affected, Event, NameKind, Range, RangeKind, Rating, Status, scope};
use crate::version::Scheme;
use std::collections::{BTreeSet, HashMap};

#[derive(Default)]
struct Strings {
    ids: HashMap<Box<str>, u32>,
    ends: Vec<u8>,
    bytes: Vec<u8>,
}

impl Strings {
    fn id(&mut self, text: &str) -> u32 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(text.as_bytes());
        put_u32(&mut self.ends, u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        self.ids.insert(text.into(), id);
        id
    }
}

struct Draft {
    id: String,
    aliases: Vec<String>,
    upstream: Vec<String>,
    related: Vec<String>,
    severity: Vec<Rating>,
    fragment: bool,
    alive: bool,
    fingerprint: u64,
    details: Details,
}

/// Collects a feed's advisories.
#[derive(Default)]
pub struct SegmentBuilder {
    strings: Strings,
    drafts: Vec<Draft>,
    by_id: HashMap<String, usize>,
    /// scope, name, draft, claim
    rows: Vec<(u32, u32, u32, u32)>,
    claims: Vec<u8>,
    known_claims: HashMap<Box<[u8]>, u32>,
    scope_aliases: HashMap<String, String>,
}

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

fn union(into: &mut Vec<String>, from: Vec<String>) {
    for value in from {
        if !into.contains(&value) {
            into.push(value);
        }
    }
}

impl SegmentBuilder {
    /// Says that rows of scope `from` belong to `to`.
    pub fn scope_alias(&mut self, from: String, to: String) {
        self.scope_aliases.insert(from, to);
    }

    /// How many advisories there are so far.
    pub fn advisories(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    /// Adds an advisory.
    pub fn add(&mut self, a: Advisory) {
        let withdrawn = a.withdrawn.as_ref().is_some_and(|w| !w.is_empty());
        let Some(draft) = self.draft_for(&a, withdrawn) else { return };
        let mut fingerprint = 0u64;
        if !withdrawn {
            for affected in &a.affected {
                fingerprint = fingerprint.wrapping_add(self.add_affected(affected, draft));
            }
        }
        let named = [&a.aliases, &a.upstream, &a.related].into_iter().flatten();
        let ids = named.fold(fnv(0xcbf2_9ce4_8422_2325, a.id.as_bytes()), |h, id| fnv(h, id.as_bytes()));
        let ids = rated(ids, &a.severity);
        let d = &mut self.drafts[draft];
        d.fingerprint =
            d.fingerprint.wrapping_add(fingerprint).wrapping_add(ids).wrapping_add(u64::from(withdrawn));
        union(&mut d.aliases, a.aliases);
        union(&mut d.upstream, a.upstream);
        union(&mut d.related, a.related);
        for severity in a.severity {
            if !d.severity.contains(&severity) {
                d.severity.push(severity);
            }
        }
        join(
            &mut d.details,
            Details {
                published: a.published,
                modified: a.modified,
                withdrawn: a.withdrawn,
                summary: a.summary,
                details: a.details,
                references: a.references,
                database_specific: a.database_specific,
                ecosystem_specific: Vec::new(),
            },
        );
        for affected in a.affected {
            if let (Some(package), false) = (affected.package, affected.ecosystem_specific.is_null()) {
                d.details.ecosystem_specific.push((package.name, affected.ecosystem_specific));
            }
        }
    }

    /// The draft that takes this advisory; `None` if a later version of it is already known.
    fn draft_for(&mut self, a: &Advisory, withdrawn: bool) -> Option<usize> {
        if let Some(index) = self.by_id.get(&a.id).copied() {
            let old = &mut self.drafts[index];
            if old.fragment && a.fragment && !withdrawn {
                return Some(index);
            }
            if old.details.modified > a.modified {
                return None;
            }
            old.alive = false;
        }
        self.by_id.insert(a.id.clone(), self.drafts.len());
        self.drafts.push(Draft {
            id: a.id.clone(),
            aliases: Vec::new(),
            upstream: Vec::new(),
            related: Vec::new(),
            severity: Vec::new(),
            fragment: a.fragment,
            alive: true,
            fingerprint: 0,
            details: Details::default(),
        });
        Some(self.drafts.len() - 1)
    }

    fn add_affected(&mut self, affected: &Affected, draft: usize) -> u64 {
        let (ecosystem, name) = match &affected.package {
            Some(p) if !p.name.is_empty() && !p.ecosystem.is_empty() => {
                (p.ecosystem.as_str(), p.name.as_str())
            }
            _ => match affected.ranges.iter().find_map(|r| r.repo.as_deref()) {
                Some(repo) => ("GIT", repo),
                None => return 0,
            },
        };
        let scope = scope::canonical(ecosystem);
        let name = scope::normal_name(&scope, name);
        let claim = self.claim(affected, &scope);
        let row = (
            self.strings.id(&scope),
            self.strings.id(&name),
            u32::try_from(draft).unwrap_or(u32::MAX),
            claim.0,
        );
        self.rows.push(row);
        fnv(fnv(claim.1, scope.as_bytes()), name.as_bytes())
    }

    /// Stores a claim once; answers its place and a hash of what it says.
    fn claim(&mut self, a: &Affected, scope: &str) -> (u32, u64) {
        let mut out = Vec::new();
        let mut hash = rated(0xcbf2_9ce4_8422_2325, &a.severity);
        for range in &a.ranges {
            for event in sorted(range, scope) {
                hash = fnv(hash, &[range.kind as u8, event_code(event)]);
            }
        }
        let s = &mut self.strings;
        let mut text = |s: &mut Strings, out: &mut Vec<u8>, value: &str| {
            hash = fnv(hash, value.as_bytes()).wrapping_mul(31);
            put_var(out, u64::from(s.id(value)));
        };
        let status =
            a.status.and_then(|x| Status::ALL.iter().position(|y| *y == x)).map_or(0, |i| i as u64 + 1);
        put_var(&mut out, status);
        put_var(
            &mut out,
            match a.names {
                NameKind::Default => 0,
                NameKind::Source => 1,
                NameKind::Binary => 2,
                NameKind::Any => 3,
            },
        );
        put_var(&mut out, a.module.as_deref().map_or(0, |m| u64::from(s.id(m)) + 1));
        put_var(&mut out, a.arches.len() as u64);
        a.arches.iter().for_each(|arch| text(s, &mut out, arch));
        severities(s, &mut out, &a.severity);
        put_var(&mut out, a.fixed.len() as u64);
        a.fixed.iter().for_each(|v| text(s, &mut out, v));
        put_var(&mut out, a.ranges.len() as u64);
        for range in &a.ranges {
            let kind = match range.kind {
                RangeKind::Ecosystem => 0,
                RangeKind::Semver => 1,
                RangeKind::Git => 2,
            };
            put_var(&mut out, kind);
            put_var(&mut out, range.events.len() as u64);
            for event in sorted(range, scope) {
                put_var(&mut out, u64::from(event_code(event)));
                text(s, &mut out, event.version());
            }
        }
        put_var(&mut out, a.versions.len() as u64);
        let mut last = 0;
        for version in &a.versions {
            hash = fnv(hash, version.as_bytes()).wrapping_mul(31);
            let id = i64::from(s.id(version));
            put_delta(&mut out, id - last);
            last = id;
        }
        // String ids are not stable between builds, so texts and codes are hashed instead of the bytes.
        let shape = (status, a.names as u64, a.module.as_deref().map_or(0, |m| fnv(7, m.as_bytes())));
        let hash = hash ^ shape.0.wrapping_mul(0x9E37_79B9) ^ shape.1.wrapping_mul(0x85EB_CA6B) ^ shape.2;
        if let Some(at) = self.known_claims.get(out.as_slice()) {
            return (*at, hash);
        }
        let at = u32::try_from(self.claims.len()).unwrap_or(u32::MAX);
        self.claims.extend_from_slice(&out);
        self.known_claims.insert(out.into(), at);
        (at, hash)
    }

    /// Writes the segment; answers its bytes, advisories and rows.
    pub fn finish(mut self) -> (Vec<u8>, u32, u32) {
        let mut places = Vec::with_capacity(self.drafts.len());
        let mut alive = 0u32;
        for draft in &self.drafts {
            places.push(draft.alive.then_some(alive));
            alive += u32::from(draft.alive);
        }
        let (heads, ids, blocks) = self.heads(&places);
        let aliases = std::mem::take(&mut self.scope_aliases);
        let renamed: HashMap<u32, u32> =
            aliases.iter().map(|(from, to)| (self.strings.id(from), self.strings.id(to))).collect();
        let mut rows: Vec<(u32, u32, u32, u32)> = std::mem::take(&mut self.rows)
            .into_iter()
            .filter_map(|(s, n, d, c)| {
                Some((*renamed.get(&s).unwrap_or(&s), n, (*places.get(d as usize)?)?, c))
            })
            .collect();
        let strings = &self.strings;
        let mut texts: Vec<&str> = vec![""; strings.ids.len()];
        for (text, id) in &strings.ids {
            texts[*id as usize] = text;
        }
        let text = |id: u32| texts[id as usize];
        rows.sort_unstable_by(|a, b| (text(a.0), text(a.1), a.2, a.3).cmp(&(text(b.0), text(b.1), b.2, b.3)));
        rows.dedup();
        let mut ids: Vec<(u32, u32)> = ids.into_iter().collect();
        ids.sort_unstable_by(|a, b| (text(a.0), a.1).cmp(&(text(b.0), b.1)));
        let mut sections: [Vec<u8>; SECTIONS] = Default::default();
        tables(&rows, &mut sections);
        for (string, advisory) in ids {
            put_u32(&mut sections[segment::IDS], string);
            put_u32(&mut sections[segment::IDS], advisory);
        }
        (sections[segment::HEAD_STARTS], sections[segment::HEADS]) = heads;
        (sections[segment::BLOCK_STARTS], sections[segment::BLOCKS]) = blocks;
        sections[segment::CLAIMS] = self.claims;
        sections[segment::STRING_ENDS] = self.strings.ends;
        sections[segment::STRING_BYTES] = self.strings.bytes;
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let mut out = Vec::new();
        let mut end = SECTIONS * 4;
        for section in &sections {
            end += section.len();
            put_u32(&mut out, u32::try_from(end).unwrap_or(u32::MAX));
        }
        sections.iter().for_each(|s| out.extend_from_slice(s));
        (out, alive, count)
    }

    #[expect(clippy::type_complexity, reason = "two pairs of starts and bytes, taken apart at once")]
    fn heads(
        &mut self,
        places: &[Option<u32>],
    ) -> ((Vec<u8>, Vec<u8>), BTreeSet<(u32, u32)>, (Vec<u8>, Vec<u8>)) {
        let (mut starts, mut heads, mut ids) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut blocks = Blocks::default();
        for (draft, place) in std::mem::take(&mut self.drafts).into_iter().zip(places) {
            let Some(place) = place else { continue };
            let s = &mut self.strings;
            put_u32(&mut starts, u32::try_from(heads.len()).unwrap_or(u32::MAX));
            heads.extend_from_slice(&draft.fingerprint.to_le_bytes());
            put_var(&mut heads, u64::from(draft.details.withdrawn.is_some()));
            let id = s.id(&draft.id);
            ids.insert((id, *place));
            put_var(&mut heads, u64::from(id));
            for names in [&draft.aliases, &draft.upstream, &draft.related] {
                put_var(&mut heads, names.len() as u64);
                for name in names {
                    let id = s.id(name);
                    ids.insert((id, *place));
                    put_var(&mut heads, u64::from(id));
                }
            }
            severities(s, &mut heads, &draft.severity);
            let (block, start, length) = blocks.add(&draft.details);
            for n in [block, start, length] {
                put_var(&mut heads, u64::from(n));
            }
        }
        put_u32(&mut starts, u32::try_from(heads.len()).unwrap_or(u32::MAX));
        ((starts, heads), ids, blocks.finish())
    }
}

fn join(into: &mut Details, from: Details) {
    into.published = into.published.take().or(from.published);
    if from.modified > into.modified {
        into.modified = from.modified;
    }
    into.withdrawn = into.withdrawn.take().or(from.withdrawn.filter(|w| !w.is_empty()));
    if into.summary.is_empty() {
        into.summary = from.summary;
    }
    if into.details.is_empty() {
        into.details = from.details;
    }
    for reference in from.references {
        if !into.references.contains(&reference) {
            into.references.push(reference);
        }
    }
    if into.database_specific.is_null() {
        into.database_specific = from.database_specific;
    }
}

fn event_code(event: &Event) -> u8 {
    match event {
        Event::Introduced(_) => 0,
        Event::IntroducedAfter(_) => 1,
        Event::Fixed(_) => 2,
        Event::LastAffected(_) => 3,
        Event::Limit(_) => 4,
    }
}

/// Ratings into a fingerprint: a corrected one changes findings as a corrected range does.
fn rated(hash: u64, all: &[Rating]) -> u64 {
    all.iter().fold(hash, |hash, r| {
        let parts = [r.kind.as_str(), &r.score, r.source.as_deref().unwrap_or_default()];
        parts.iter().fold(hash, |hash, part| fnv(fnv(hash, part.as_bytes()), &[0]))
    })
}

fn severities(s: &mut Strings, out: &mut Vec<u8>, all: &[Rating]) {
    put_var(out, all.len() as u64);
    for severity in all {
        put_var(out, u64::from(s.id(&severity.kind)));
        put_var(out, u64::from(s.id(&severity.score)));
        put_var(out, severity.source.as_deref().map_or(0, |source| u64::from(s.id(source)) + 1));
    }
}

/// Events in version order: `0` first, unparsable ones as the feed has them, equal ones as stated.
fn sorted<'a>(range: &'a Range, scope: &str) -> Vec<&'a Event> {
    let mut events: Vec<&Event> = range.events.iter().collect();
    if range.kind == RangeKind::Git || events.len() < 2 {
        return events;
    }
    let scheme: Scheme = scope::scheme(scope);
    let key = |e: &Event| if e.version() == "0" { None } else { Some(scheme.parse(e.version()).ok()) };
    let mut keyed: Vec<_> = events.iter().map(|e| (key(e), *e)).collect();
    if keyed.iter().all(|(k, _)| k.is_none() || k.as_ref().is_some_and(Option::is_some)) {
        keyed.sort_by(|a, b| match (&a.0, &b.0) {
            (Some(Some(x)), Some(Some(y))) => x.compare(y),
            (None, None) => std::cmp::Ordering::Equal,
            (None, _) => std::cmp::Ordering::Less,
            (_, None) => std::cmp::Ordering::Greater,
            _ => std::cmp::Ordering::Equal,
        });
        events = keyed.into_iter().map(|(_, e)| e).collect();
    }
    events
}

/// Scopes, packages and rows from sorted rows.
fn tables(rows: &[(u32, u32, u32, u32)], sections: &mut [Vec<u8>; SECTIONS]) {
    let mut packages = 0u32;
    let mut open: Option<(u32, u32)> = None;
    let mut scope_start = 0u32;
    for (index, (scope, name, advisory, claim)) in rows.iter().enumerate() {
        if open != Some((*scope, *name)) {
            if let Some((previous, _)) = open.filter(|(s, _)| s != scope) {
                [previous, scope_start, packages - scope_start]
                    .iter()
                    .for_each(|n| put_u32(&mut sections[segment::SCOPES], *n));
                scope_start = packages;
            }
            put_u32(&mut sections[segment::PACKAGES], *name);
            put_u32(&mut sections[segment::PACKAGES], u32::try_from(index).unwrap_or(u32::MAX));
            packages += 1;
            open = Some((*scope, *name));
        }
        put_u32(&mut sections[segment::ROWS], *advisory);
        put_u32(&mut sections[segment::ROWS], *claim);
    }
    if let Some((scope, _)) = open {
        [scope, scope_start, packages - scope_start]
            .iter()
            .for_each(|n| put_u32(&mut sections[segment::SCOPES], *n));
    }
    put_u32(&mut sections[segment::PACKAGES], 0);
    put_u32(&mut sections[segment::PACKAGES], u32::try_from(rows.len()).unwrap_or(u32::MAX));
}
