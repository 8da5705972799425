//! VERS `datetime`: RFC 3339 timestamps with `T` and an offset, ordered by instant.

use super::num::digits;

/// A parsed timestamp.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Datetime {
    /// Seconds since 0000-03-01T00:00:00Z, proleptic Gregorian.
    seconds: i64,
    /// Digits after the decimal point, without trailing zeros.
    fraction: Box<str>,
}

impl Datetime {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut field = |len: usize, max: i64, end: &[char]| -> Option<i64> {
            let (number, after) = digits(rest.get(..len)?);
            let value = number.parse().ok().filter(|n| *n <= max)?;
            if !after.is_empty() {
                return None;
            }
            rest = &rest[len..];
            if !end.is_empty() {
                rest = rest.strip_prefix(end)?;
            }
            Some(value)
        };
        let (year, month, day) = (field(4, 9999, &['-'])?, field(2, 12, &['-'])?, field(2, 31, &['T'])?);
        let (hour, minute, second) = (field(2, 23, &[':'])?, field(2, 59, &[':'])?, field(2, 60, &[])?);
        if month == 0 || day == 0 || day > days_in(year, month) {
            return None;
        }
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            (fraction, rest) = digits(after);
            if fraction.is_empty() {
                return None;
            }
        }
        let offset_minutes = offset(rest)?;
        let days = days_from_epoch(year, month, day);
        let seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
        Some(Self { seconds, fraction: fraction.trim_end_matches('0').into() })
    }
}

fn offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let two = |t: &str, max: i64| -> Option<i64> {
        if t.len() != 2 || !t.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        t.parse().ok().filter(|n| *n <= max)
    };
    Some(sign * (two(hours, 23)? * 60 + two(minutes, 59)?))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 0000-03-01 of the proleptic Gregorian calendar (years begin in March).
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 306 + 5) / 10
        + day
        - 1
}
