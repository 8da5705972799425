//! CISA's Known Exploited Vulnerabilities, JSON and CSV; also the CSV that joins it with EPSS (`CVE,CVSS3,EPSS,…`).

use super::{EpssScore, Item, KevEntry, Refusal, Sink, from_json};
use serde::Deserialize;

#[derive(Deserialize)]
struct Catalog {
    vulnerabilities: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "cveID")]
    cve_id: String,
    vulnerability_name: String,
    date_added: String,
    due_date: String,
    known_ransomware_campaign_use: String,
}

pub(super) fn json(bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
    for e in from_json::<Catalog>(bytes)?.vulnerabilities {
        sink(Item::Kev(KevEntry {
            cve: e.cve_id.trim().to_owned(),
            name: e.vulnerability_name,
            added: e.date_added,
            due: e.due_date,
            ransomware: e.known_ransomware_campaign_use == "Known",
        }));
    }
    Ok(())
}

pub(super) fn csv(text: &str, sink: Sink<'_>) -> Result<(), Refusal> {
    let mut rows = records(text).into_iter();
    let header = rows.next().ok_or_else(|| Refusal::new("no header"))?;
    let column = |names: &[&str]| header.iter().position(|h| names.iter().any(|n| h.eq_ignore_ascii_case(n)));
    let cve = column(&["cveID", "CVE"]).ok_or_else(|| Refusal::new("no column for the CVE"))?;
    let (name, description) = (column(&["vulnerabilityName"]), column(&["Description"]));
    let (added, due) = (column(&["dateAdded"]), column(&["dueDate"]));
    let ransomware = column(&["knownRansomwareCampaignUse"]);
    let (score, percentile) = (column(&["EPSS"]), column(&["EPSS Percentile"]));
    for row in rows {
        let field = |c: Option<usize>| c.and_then(|c| row.get(c)).map_or("", |v| v.trim()).to_owned();
        let id = field(Some(cve));
        if !id.starts_with("CVE-") {
            continue;
        }
        if let (Ok(score), percentile) = (field(score).parse(), field(percentile).parse().unwrap_or(0.0)) {
            sink(Item::Epss(EpssScore { cve: id.clone(), score, percentile }));
        }
        sink(Item::Kev(KevEntry {
            cve: id,
            name: field(name.or(description)),
            added: field(added),
            due: field(due),
            ransomware: field(ransomware) == "Known",
        }));
    }
    Ok(())
}

/// RFC 4180 records.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            c => field.push(c),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_may_hold_commas_quotes_and_lines() {
        let mut out = Vec::new();
        let text = "cveID,vendorProject,product,vulnerabilityName,dateAdded,shortDescription,requiredAction,dueDate,knownRansomwareCampaignUse\nCVE-2025-48384,Git,Git,\"A \"\"b\"\", c\",2025-08-25,\"x\ny\",z,2025-09-15,Known\n";
        csv(text, &mut |i| out.push(i)).expect("csv");
        let Some(Item::Kev(k)) = out.pop() else { panic!("no entry") };
        assert_eq!((k.name.as_str(), k.added.as_str(), k.ransomware), ("A \"b\", c", "2025-08-25", true));
    }
}
