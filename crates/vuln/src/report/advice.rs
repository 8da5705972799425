//! What another base image would change: a pure comparison of what is of the present base with what the other brings.
//!
//! Only findings of the base's own packages count: what an image puts on top of its base stays, whatever is below. Where
//! the base ends, the image's history says, in the way that Trivy reads it: a base's own `CMD` is its last instruction.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::matching::Finding;

/// The effect of a change of base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The other base.
    pub base: String,
    /// So many of the image's layers, from the lowest, are its present base.
    pub layers: usize,
    /// Findings that go, as `id package`.
    pub removed: Vec<String>,
    /// Findings that come.
    pub added: Vec<String>,
    /// Findings of the present base that stay.
    pub kept: usize,
}

impl Advice {
    /// `this base removes 31 findings`.
    pub fn sentence(&self) -> String {
        let added = match self.added.len() {
            0 => String::new(),
            count => format!(" and adds {count}"),
        };
        format!("this base removes {} findings{added}", self.removed.len())
    }
}

/// How many layers of an image are its base's: those below the last `CMD` that something was put on; without one, the
/// lowest.
pub fn base_layers(config: &Value, layers: usize) -> usize {
    let entries: Vec<&Value> =
        config.get("history").and_then(Value::as_array).into_iter().flatten().collect();
    let is_empty = |entry: &Value| entry.get("empty_layer").and_then(Value::as_bool) == Some(true);
    let is_command = |entry: &Value| {
        let made = entry.get("created_by").and_then(Value::as_str).unwrap_or_default();
        made.starts_with("/bin/sh -c #(nop)  CMD") || made.starts_with("CMD")
    };
    let top = entries.iter().rposition(|entry| !is_empty(entry)).unwrap_or(0);
    let below = entries.get(..top).unwrap_or_default();
    let base = below.iter().rposition(|entry| is_empty(entry) && is_command(entry));
    let counted = base.map_or(1, |at| below.iter().take(at).filter(|entry| !is_empty(entry)).count());
    counted.clamp(usize::from(layers > 0), layers)
}

/// Compares what counts: `own` are findings in the layers of the present base alone, `image` those of the whole image,
/// `other` those of the other base.
pub fn base_advice(own: &[Finding], image: &[Finding], other: &[Finding]) -> Advice {
    let exact = |f: &Finding| (f.kind, f.package.clone(), f.version.clone(), f.id.clone());
    let of_base: BTreeSet<_> = own.iter().map(exact).collect();
    let key = |finding: &Finding| format!("{} {}", finding.id, finding.package);
    let keys = |findings: &mut dyn Iterator<Item = &Finding>| -> BTreeSet<String> {
        findings.filter(|finding| finding.counts()).map(key).collect()
    };
    let all = keys(&mut image.iter());
    // What upper layers have replaced or removed is no longer of the base.
    let now = keys(&mut image.iter().filter(|finding| of_base.contains(&exact(finding))));
    let above = keys(&mut image.iter().filter(|finding| !of_base.contains(&exact(finding))));
    let then = keys(&mut other.iter());
    Advice {
        removed: now.iter().filter(|key| !then.contains(*key) && !above.contains(*key)).cloned().collect(),
        added: then.difference(&all).cloned().collect(),
        kept: now.intersection(&then).count(),
        ..Advice::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_base_ends_at_its_last_command() {
        let layer = |made: &str| json!({ "created_by": made });
        let empty = |made: &str| json!({ "created_by": made, "empty_layer": true });
        let count = |history: &[Value], layers| base_layers(&json!({ "history": history }), layers);
        let debian =
            [layer("/bin/sh -c #(nop) ADD file:abc in / "), empty("/bin/sh -c #(nop)  CMD [\"bash\"]")];
        let python = [layer("RUN /bin/sh -c make # buildkit"), layer("RUN pip"), empty("CMD [\"python3\"]")];
        let app = [empty("WORKDIR /app"), layer("COPY . . # buildkit"), empty("CMD [\"app\"]")];
        assert_eq!(count(&debian, 1), 1, "a base itself");
        assert_eq!(count(&[&debian[..], &python].concat(), 3), 1, "Python on Debian");
        assert_eq!(count(&[&debian[..], &python, &app].concat(), 4), 3, "an application on Python");
        assert_eq!(count(&[], 5), 1, "nothing is known");
        assert_eq!(count(&debian, 0), 0);
        let odd = [&debian[..], &python, &app].concat();
        assert_eq!(count(&odd, 2), 2, "a history that is longer than the image");
    }
}
