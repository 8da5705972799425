//! JUnit XML as CI systems read it: one suite per section, a failure per finding, a skip per suppressed one.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{Row, ScanReport, Section};

/// The report as JUnit XML.
///
/// # Errors
/// Never: it writes to memory.
pub fn junit(report: &ScanReport) -> io::Result<Vec<u8>> {
    let rows = report.rows();
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let count = |rows: &[&Row]| {
        let failures = rows.iter().filter(|row| row.suppressed.is_none()).count();
        (rows.len().to_string(), failures.to_string(), (rows.len() - failures).to_string())
    };
    let all: Vec<&Row> = rows.iter().collect();
    let (tests, failures, skipped) = count(&all);
    let root = xml.create_element("testsuites").with_attributes([
        ("name", clean(&report.target.name).as_str()),
        ("tests", &tests),
        ("failures", &failures),
        ("skipped", &skipped),
    ]);
    root.write_inner_content(|xml| {
        for section in Section::ALL {
            let own: Vec<&Row> = rows.iter().filter(|row| row.section == section).collect();
            let (tests, failures, skipped) = count(&own);
            let suite = xml.create_element("testsuite").with_attributes([
                ("name", section.name()),
                ("tests", tests.as_str()),
                ("failures", failures.as_str()),
                ("skipped", skipped.as_str()),
                ("errors", "0"),
            ]);
            suite.write_inner_content(|xml| own.iter().try_for_each(|row| case(xml, row)))?;
        }
        Ok(())
    })?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn case(xml: &mut Writer<Vec<u8>>, row: &Row) -> io::Result<()> {
    let class = clean(&format!("{} {}", row.subject, row.version));
    let name = clean(&format!("[{}] {}", row.severity.as_str(), row.id));
    xml.create_element("testcase")
        .with_attributes([("classname", class.trim_end()), ("name", name.as_str()), ("time", "0")])
        .write_inner_content(|xml| {
            match &row.suppressed {
                Some(reason) => {
                    xml.create_element("skipped")
                        .with_attribute(("message", clean(reason).as_str()))
                        .write_empty()?;
                }
                None => {
                    let text = clean(&format!("{}\n{}", row.title, row.help));
                    xml.create_element("failure")
                        .with_attributes([
                            ("message", clean(&row.title).as_str()),
                            ("type", row.section.name()),
                        ])
                        .write_text_content(BytesText::new(&text))?;
                }
            }
            Ok(())
        })?;
    Ok(())
}

/// XML 1.0 has no way to write most control characters.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}
