//! How old a feed may be: `7d`, `36h`, `none`.

use std::str::FromStr;

use jiff::SignedDuration;

/// Longest age that is asked for; more is a slip of the finger.
const MAX_DAYS: u32 = 3650;
/// The age that is warned of when none is given.
const USUAL: MaxAge = MaxAge(Some(SignedDuration::from_hours(7 * 24)));

/// An age; none: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxAge(Option<SignedDuration>);

impl Default for MaxAge {
    fn default() -> Self {
        USUAL
    }
}

impl MaxAge {
    /// The bound.
    pub(crate) fn limit(self) -> Option<SignedDuration> {
        self.0
    }
}

impl FromStr for MaxAge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(None));
        }
        let refused = || format!("`{text}` is no age; write days, hours or nothing: 7d, 36h, none");
        let (number, hours) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
            (Some(days), _) => (days, 24),
            (_, Some(hours)) => (hours, 1),
            _ => return Err(refused()),
        };
        let number: u32 =
            number.parse().ok().filter(|number| (1..=MAX_DAYS).contains(number)).ok_or_else(refused)?;
        Ok(Self(Some(SignedDuration::from_hours(i64::from(number) * hours))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_days_hours_or_none() {
        let hours = |text: &str| text.parse::<MaxAge>().map(|age| age.limit().map(|limit| limit.as_hours()));
        assert_eq!(hours("7d"), Ok(Some(168)));
        assert_eq!(hours("36h"), Ok(Some(36)));
        assert_eq!(hours("none"), Ok(None));
        for text in ["", "7", "0d", "-1d", "1w", "99999d"] {
            assert!(hours(text).is_err(), "{text}");
        }
    }
}
