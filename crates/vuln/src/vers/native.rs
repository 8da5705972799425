//! Ranges in the ecosystems' own notations, as VERS ranges.
//!
//! Each notation follows the ecosystem's documentation and the equivalences in the VERS type definitions (which read
//! npm's `>= 2.2.x` as `>=2.2.0|<2.3.0`).

use super::{Comparator, Constraint, MAX_VERS_BYTES, Vers, VersError};
use Comparator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};

/// `None` in here means: not understood.
type Constraints = Option<Vec<Constraint>>;

/// Reads `range` as written in `scheme`.
pub(super) fn convert(scheme: &str, range: &str) -> Result<Vers, VersError> {
    if range.len() > MAX_VERS_BYTES {
        return Err(VersError::TooLong);
    }
    let range = range.trim();
    if matches!(range, "*" | "all") {
        return match scheme {
            "conan" => Vers::build(scheme, vec![Constraint::new(GreaterOrEqual, "0.0.0")]),
            _ => Vers::all(scheme),
        };
    }
    let constraints = match scheme {
        "npm" => npm(range),
        "pypi" => pypi(range),
        "gem" => any_of(range, &["||"], gem),
        "maven" => intervals(range, |v| Some(v.to_owned())),
        "nuget" => intervals(range, nuget_version),
        "conan" => conan(range),
        "openssl" => comparators(range).filter(|list| !list.is_empty()),
        "nginx" => nginx(range),
        _ => any_of(range, &["||", "|"], comparators),
    };
    let constraints = constraints.filter(|list| !list.is_empty()).ok_or_else(|| VersError::Native {
        scheme: scheme.to_owned(),
        range: range.chars().take(128).collect(),
    })?;
    Vers::build(scheme, constraints)
}

/// Alternatives, each converted by `one`.
fn any_of(range: &str, separators: &[&str], one: impl Fn(&str) -> Constraints) -> Constraints {
    let separator = separators.iter().find(|s| range.contains(**s)).copied().unwrap_or("||");
    let alternatives: Option<Vec<_>> = range.split(separator).map(|part| one(part.trim())).collect();
    Some(alternatives?.into_iter().flatten().collect())
}

/// Splits off the operator at the beginning.
fn operator(text: &str) -> (&str, &str) {
    let end = text.find(|c| !matches!(c, '<' | '>' | '=' | '!' | '~' | '^')).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Joins operators that stand apart from their versions, then splits at blanks and commas.
fn terms(range: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    for word in range.split([',', ' ', '\t']).filter(|w| !w.is_empty()) {
        match terms.last_mut() {
            Some(last) if operator(last).1.is_empty() => last.push_str(word),
            _ => terms.push(word.to_owned()),
        }
    }
    terms
}

/// `>= 1.0, < 2.0`, Debian's `>> 1`, a bare version for equality.
fn comparators(range: &str) -> Constraints {
    let one = |term: &String| {
        let (op, version) = operator(term);
        let comparator = Comparator::parse(op)?;
        (!version.is_empty()).then(|| Constraint::new(comparator, version))
    };
    terms(range).iter().map(one).collect()
}

/// The numbers of a partial version, up to a wildcard.
struct Partial {
    numbers: Vec<u64>,
    /// Pre-release with its hyphen.
    pre: String,
    wildcard: bool,
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches(['v', 'V', '=']);
        let text = text.split('+').next().unwrap_or(text);
        let (core, pre) = text.split_once('-').map_or((text, String::new()), |(c, p)| (c, format!("-{p}")));
        let mut numbers = Vec::new();
        let mut wildcard = false;
        for part in core.split('.') {
            if matches!(part, "x" | "X" | "*" | "") {
                wildcard = true;
                break;
            }
            numbers.push(part.parse().ok()?);
        }
        (numbers.len() <= 3).then_some(Self { numbers, pre, wildcard })
    }

    fn is_whole(&self) -> bool {
        self.numbers.len() == 3
    }

    /// With zeros for what is missing.
    fn floor(&self) -> String {
        let n = |i: usize| self.numbers.get(i).copied().unwrap_or(0);
        format!("{}.{}.{}{}", n(0), n(1), n(2), self.pre)
    }

    /// The version after all that share the first `count` numbers.
    fn bump(&self, count: usize) -> Option<String> {
        let mut numbers: Vec<u64> = self.numbers.iter().copied().take(count.max(1)).collect();
        let last = numbers.last_mut()?;
        *last = last.checked_add(1)?;
        numbers.resize(3, 0);
        Some(numbers.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
    }

    fn between(&self, upper: String) -> Vec<Constraint> {
        vec![Constraint::new(GreaterOrEqual, self.floor()), Constraint::new(Less, upper)]
    }
}

/// node-semver's grammar.
fn npm(range: &str) -> Constraints {
    any_of(range, &["||"], |part| {
        if let Some((low, high)) = part.split_once(" - ") {
            let (low, high) = (Partial::parse(low.trim())?, Partial::parse(high.trim())?);
            let upper = if high.is_whole() {
                Constraint::new(LessOrEqual, high.floor())
            } else {
                Constraint::new(Less, high.bump(high.numbers.len())?)
            };
            return Some(vec![Constraint::new(GreaterOrEqual, low.floor()), upper]);
        }
        let terms: Option<Vec<_>> = terms(part).iter().map(|term| npm_term(term)).collect();
        Some(terms?.into_iter().flatten().collect())
    })
}

fn npm_term(term: &str) -> Constraints {
    let (op, version) = operator(term);
    let partial = Partial::parse(version)?;
    let count = partial.numbers.len();
    if count == 0 {
        return Some(vec![Constraint::new(GreaterOrEqual, "0.0.0")]);
    }
    let one = |comparator, version: String| Some(vec![Constraint::new(comparator, version)]);
    match op {
        "~" | "~>" => Some(partial.between(partial.bump(count.min(2))?)),
        "^" => {
            let first = partial.numbers.iter().position(|n| *n != 0).unwrap_or(count - 1);
            Some(partial.between(partial.bump(first + 1)?))
        }
        "" | "=" | ">=" if partial.wildcard => Some(partial.between(partial.bump(count)?)),
        "" | "=" if partial.is_whole() => one(Equal, partial.floor()),
        "" | "=" => Some(partial.between(partial.bump(count)?)),
        ">" if !partial.is_whole() => one(GreaterOrEqual, partial.bump(count)?),
        "<=" if !partial.is_whole() => one(Less, partial.bump(count)?),
        _ => one(Comparator::parse(op)?, partial.floor()),
    }
}

/// PEP 440 specifiers; `||` between alternatives as advisories write it.
fn pypi(range: &str) -> Constraints {
    any_of(range, &["||"], |part| {
        let clauses: Option<Vec<_>> =
            part.split(',').map(str::trim).filter(|c| !c.is_empty()).map(pypi_clause).collect();
        Some(clauses?.into_iter().flatten().collect())
    })
}

fn pypi_clause(clause: &str) -> Constraints {
    let (op, version) = operator(clause);
    if version.is_empty() || version.contains(char::is_whitespace) {
        return None;
    }
    let release = |text: &str| -> Option<Vec<u64>> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        text[..end].trim_end_matches('.').split('.').map(|n| n.parse().ok()).collect()
    };
    let next = |mut numbers: Vec<u64>| -> Option<String> {
        let last = numbers.last_mut()?;
        *last = last.checked_add(1)?;
        Some(numbers.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
    };
    let between = |low: &str, high: String| {
        Some(vec![Constraint::new(GreaterOrEqual, low), Constraint::new(Less, high)])
    };
    match (op, version.strip_suffix(".*")) {
        ("==" | "", Some(prefix)) => between(prefix, next(release(prefix)?)?),
        ("!=", Some(prefix)) => Some(vec![
            Constraint::new(Less, prefix),
            Constraint::new(GreaterOrEqual, next(release(prefix)?)?),
        ]),
        (_, Some(_)) => None,
        ("~=", None) => {
            let mut numbers = release(version)?;
            numbers.pop().filter(|_| !numbers.is_empty())?;
            between(version, next(numbers)?)
        }
        ("===", None) => Some(vec![Constraint::new(Equal, version)]),
        _ => Some(vec![Constraint::new(Comparator::parse(op)?, version)]),
    }
}

/// `Gem::Requirement`: `~>` takes up to the next but last number.
fn gem(range: &str) -> Constraints {
    let mut constraints = Vec::new();
    for term in terms(range) {
        let (op, version) = operator(&term);
        if version.is_empty() {
            return None;
        }
        if op != "~>" {
            constraints.push(Constraint::new(Comparator::parse(op)?, version));
            continue;
        }
        let mut numbers: Vec<u64> = version.split(['.', '-']).map_while(|part| part.parse().ok()).collect();
        if numbers.len() > 1 {
            numbers.pop();
        }
        let last = numbers.last_mut()?;
        *last = last.checked_add(1)?;
        let upper = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
        constraints.push(Constraint::new(GreaterOrEqual, version));
        constraints.push(Constraint::new(Less, upper));
    }
    Some(constraints)
}

/// Interval notation: `[1.0,2.0)`, `(,1.0]`, `[1.5]`, several joined by commas. A bare version is a lower bound for
/// NuGet and the recommended version for Maven; VERS knows no recommendation, so it is that version.
fn intervals(range: &str, version: impl Fn(&str) -> Option<String>) -> Constraints {
    let mut constraints = Vec::new();
    let mut rest = range;
    while !rest.is_empty() {
        if !rest.starts_with(['[', '(']) {
            return Some(vec![Constraint::new(Equal, version(rest)?)]).filter(|_| !rest.contains(','));
        }
        let end = rest.find([']', ')'])?;
        let (low_closed, high_closed) = (rest.starts_with('['), rest[end..].starts_with(']'));
        let inner = &rest[1..end];
        match inner.split_once(',').map(|(low, high)| (low.trim(), high.trim())) {
            None if low_closed && high_closed => {
                constraints.push(Constraint::new(Equal, version(inner.trim())?));
            }
            None => return None,
            Some((low, high)) => {
                if !low.is_empty() {
                    let comparator = if low_closed { GreaterOrEqual } else { Greater };
                    constraints.push(Constraint::new(comparator, version(low)?));
                }
                if !high.is_empty() {
                    let comparator = if high_closed { LessOrEqual } else { Less };
                    constraints.push(Constraint::new(comparator, version(high)?));
                }
            }
        }
        rest = rest[end + 1..].trim_start_matches([',', ' ']);
    }
    Some(constraints)
}

/// NuGet shows at least three numbers.
fn nuget_version(text: &str) -> Option<String> {
    let text = text.split('+').next().unwrap_or(text);
    let (core, pre) = text.split_once('-').map_or((text, String::new()), |(c, p)| (c, format!("-{p}")));
    let mut numbers: Vec<&str> = core.split('.').collect();
    if numbers.iter().any(|n| n.is_empty() || !n.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    while numbers.len() < 3 {
        numbers.push("0");
    }
    Some(numbers.join(".") + &pre)
}

/// Conan 2's ranges; an upper bound made by `~` or `^` ends in `-`, before all pre-releases.
fn conan(range: &str) -> Constraints {
    let range = range.trim_start_matches('[').trim_end_matches(']');
    let range = range.split_once(',').map_or(range, |(range, _options)| range);
    any_of(range, &["||"], |part| {
        if matches!(part, "" | "*") {
            return Some(vec![Constraint::new(GreaterOrEqual, "0.0.0")]);
        }
        let mut constraints = Vec::new();
        for term in terms(part) {
            let (op, version) = operator(&term);
            if version.is_empty() {
                return None;
            }
            if !matches!(op, "~" | "^") {
                constraints.push(Constraint::new(Comparator::parse(op)?, version));
                continue;
            }
            let core = version.split(['-', '+']).next().unwrap_or(version);
            let items: Vec<&str> = core.split('.').collect();
            let index = match op {
                "~" => usize::from(items.len() > 1),
                _ => items.iter().position(|i| i.parse() != Ok(0_u64)).unwrap_or(items.len()),
            };
            let bumped = items.get(index)?.parse::<u64>().ok()?.checked_add(1)?.to_string();
            let upper = [&items[..index], &[bumped.as_str()]].concat().join(".");
            constraints.push(Constraint::new(GreaterOrEqual, version));
            constraints.push(Constraint::new(Less, format!("{upper}-")));
        }
        Some(constraints)
    })
}

/// nginx's security page: `1.1.4-1.2.8, 1.3.9-1.4.0`, `1.5.0+, 1.4.1+`; an even minor number is a stable branch, whose
/// `+` ends with the branch.
fn nginx(range: &str) -> Constraints {
    let mut constraints = Vec::new();
    for part in range.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        if let Some((low, high)) = part.split_once('-') {
            Partial::parse(low)?;
            Partial::parse(high)?;
            constraints.push(Constraint::new(GreaterOrEqual, low));
            constraints.push(Constraint::new(LessOrEqual, high));
        } else if let Some(version) = part.strip_suffix('+') {
            let partial = Partial::parse(version)?;
            constraints.push(Constraint::new(GreaterOrEqual, version));
            if partial.numbers.get(1).is_some_and(|minor| minor % 2 == 0) {
                constraints.push(Constraint::new(Less, partial.bump(2)?));
            }
        } else {
            Partial::parse(part)?;
            constraints.push(Constraint::new(Equal, part));
        }
    }
    Some(constraints)
}
