//! Distributions that no longer receive security fixes: what a scan of them does not find, nobody repairs.

use jiff::civil::Date;

use crate::Distro;

/// The day on which the release's free security support ended or ends; `None` for releases that the embedded list does
/// not have and for rolling ones.
pub fn end_of_life(distro: &Distro) -> Option<Date> {
    let version = distro.version_id.as_str();
    include_str!("../data/eol/distributions.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split('\t');
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
        .filter(|(id, release, _)| {
            *id == distro.id
                && version.strip_prefix(release).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .find_map(|(_, _, date)| date.parse().ok())
}

/// The day of the end if it lies before `today`.
pub fn ended(distro: &Distro, today: Date) -> Option<Date> {
    end_of_life(distro).filter(|end| *end < today)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str, version: &str) -> Option<String> {
        let distro = Distro { id: id.into(), version_id: version.into(), ..Distro::default() };
        ended(&distro, jiff::civil::date(2026, 11, 21)).map(|date| date.to_string())
    }

    #[test]
    fn releases_end_by_their_longest_known_prefix() {
        assert_eq!(of("alpine", "3.10.2").as_deref(), Some("2021-05-01"));
        assert_eq!(of("alpine", "3.1.2"), None);
        assert_eq!(of("debian", "11").as_deref(), Some("2026-08-31"));
        assert_eq!(of("debian", "12.5"), None);
        assert_eq!(of("almalinux", "8.10"), None);
        assert_eq!(of("arch", ""), None);
    }

    #[test]
    fn every_line_has_a_date() {
        for line in
            include_str!("../data/eol/distributions.tsv").lines().filter(|line| !line.starts_with('#'))
        {
            let date = line.split('\t').nth(2).and_then(|date| date.parse::<Date>().ok());
            assert!(date.is_some(), "{line}");
        }
    }
}
