//! EPSS: FIRST's daily CSV (`#model_version:…,score_date:…`, then `cve,epss,percentile`).

use super::{EpssScore, Item, Refusal, Sink};

pub(super) fn read(text: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    for line in text.lines().filter(|l| l.starts_with("CVE-")) {
        let mut fields = line.split(',').map(str::trim);
        let (Some(cve), Some(score)) = (fields.next(), fields.next()) else {
            return Err(Refusal::new(format!("line {line:?} has no score")));
        };
        let number = |t: &str| t.parse::<f64>().ok().filter(|n| (0.0..=1.0).contains(n));
        let score = number(score).ok_or_else(|| Refusal::new(format!("score of {cve} is no probability")))?;
        let percentile = fields.next().and_then(number).unwrap_or(0.0);
        sink(Item::Epss(EpssScore { cve: cve.to_owned(), score, percentile }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_and_nonsense_is_refused() {
        let mut out = Vec::new();
        let text = "#model_version:v2025.03.14,score_date:2026-11-20T00:00:00Z\ncve,epss,percentile\nCVE-1999-0001,0.01217,0.78\n";
        read(text, &mut |i| out.push(i)).expect("csv");
        assert_eq!(
            out,
            [Item::Epss(EpssScore { cve: "CVE-1999-0001".into(), score: 0.01217, percentile: 0.78 })]
        );
        assert!(read("CVE-1999-0001,7.5,1\n", &mut |_| ()).is_err());
    }
}
