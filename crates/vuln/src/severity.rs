//! How bad a vulnerability is: words of vendors, CVSS vectors of versions 2, 3 and 4, and the bands between them.
//!
//! Vendors' words come before scores where both are stated (reference/scanning.md §7); this module only translates, the
//! choice is the matcher's. Bands are those of CVSS 3.1 and 4.0 (0, 0.1–3.9, 4.0–6.9, 7.0–8.9, 9.0–10) for every
//! version, as the National Vulnerability Database shows them.

use serde::{Deserialize, Serialize};

/// A severity, from unknown to critical; the order is that of concern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nobody has said.
    #[default]
    Unknown,
    /// No or theoretical impact (CVSS 0.0, Debian's `unimportant`).
    Negligible,
    /// Low.
    Low,
    /// Medium, also called moderate.
    Medium,
    /// High, also called important.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Negligible, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word that vendors and feeds use, in any case; [`Severity::Unknown`] for one that is not known.
    pub fn from_word(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "negligible" | "none" | "unimportant" | "minimal" | "info" | "informational" => Self::Negligible,
            "low" => Self::Low,
            "medium" | "moderate" => Self::Medium,
            "high" | "important" => Self::High,
            "critical" | "urgent" | "emergency" => Self::Critical,
            _ => Self::Unknown,
        }
    }

    /// The band of a CVSS score (0.0 to 10.0); a number outside is unknown.
    pub fn from_score(score: f64) -> Self {
        match score {
            s if !(0.0..=10.0).contains(&s) => Self::Unknown,
            s if s >= 9.0 => Self::Critical,
            s if s >= 7.0 => Self::High,
            s if s >= 4.0 => Self::Medium,
            s if s > 0.0 => Self::Low,
            _ => Self::Negligible,
        }
    }

    /// Its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Negligible => "negligible",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A CVSS vector that says nothing usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{vector:?} is not a CVSS vector")]
pub struct CvssError {
    /// The text.
    pub vector: String,
}

/// A vector of any CVSS version with its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CvssScore {
    /// `2.0`, `3.0`, `3.1` or `4.0`.
    pub version: String,
    /// The vector as given, without blanks and parentheses.
    pub vector: String,
    /// 0.0 to 10.0, one decimal.
    pub score: f64,
}

impl CvssScore {
    /// Reads a vector string of CVSS 2.0 (with or without parentheses), 3.0, 3.1 or 4.0 and scores it by the metrics
    /// that it states.
    ///
    /// # Errors
    /// [`CvssError`] if it is none, or longer than 512 bytes.
    pub fn parse(vector: &str) -> Result<Self, CvssError> {
        let text = vector.trim().trim_start_matches('(').trim_end_matches([')', '/']);
        let refused = || CvssError { vector: vector.chars().take(128).collect() };
        if text.len() > 512 {
            return Err(refused());
        }
        let parsed: cvss::Cvss = text.parse().map_err(|_| refused())?;
        let version = match &parsed {
            cvss::Cvss::CvssV20(_) => "2.0",
            cvss::Cvss::CvssV30(_) => "3.0",
            cvss::Cvss::CvssV31(_) => "3.1",
            cvss::Cvss::CvssV40(_) => "4.0",
            _ => return Err(refused()),
        };
        let score = (parsed.score() * 10.0).round() / 10.0;
        Ok(Self { version: version.to_owned(), vector: text.to_owned(), score })
    }

    /// Its band.
    pub fn severity(&self) -> Severity {
        Severity::from_score(self.score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_every_version_have_the_scores_of_first_org() {
        for (vector, version, score, severity) in [
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C", "2.0", 10.0, Severity::Critical),
            ("(AV:N/AC:L/Au:N/C:N/I:N/A:C)", "2.0", 7.8, Severity::High),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", "3.0", 6.1, Severity::Medium),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", "3.1", 10.0, Severity::Critical),
            ("CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:L", "3.1", 1.8, Severity::Low),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", "3.1", 0.0, Severity::Negligible),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                "4.0",
                9.3,
                Severity::Critical,
            ),
            ("CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "4.0", 7.3, Severity::High),
        ] {
            let parsed = CvssScore::parse(vector).unwrap();
            assert_eq!(parsed.version, version, "{vector}");
            assert!((parsed.score - score).abs() < 0.05, "{vector}: {}", parsed.score);
            assert_eq!(parsed.severity(), severity, "{vector}");
        }
    }

    #[test]
    fn nonsense_is_no_vector() {
        for text in
            ["", "/", "CVSS:3.1", "CVSS:3.1/", "CVSS:9.0/AV:N", "AV:N/AC", "7.5", &"A:N/".repeat(1000)]
        {
            assert!(CvssScore::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn vendors_words_are_understood() {
        assert_eq!(Severity::from_word("Important"), Severity::High);
        assert_eq!(Severity::from_word("MODERATE"), Severity::Medium);
        assert_eq!(Severity::from_word("unimportant"), Severity::Negligible);
        assert_eq!(Severity::from_word("not yet assigned"), Severity::Unknown);
        assert_eq!(Severity::from_score(f64::NAN), Severity::Unknown);
    }
}
