//! Helm charts: values up to a line of `---`, then a template.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vuln::helm::Charts;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (values, template) = text.split_once("\n---\n").unwrap_or(("", text));
    let mut charts = Charts::default();
    charts.take("Chart.yaml", b"name: c\nversion: 1.0.0\n");
    charts.take("values.yaml", values.as_bytes());
    charts.take("templates/a.yaml", template.as_bytes());
    let rendered = charts.render();
    vuln::misconfig::charts::check(&rendered);
});
