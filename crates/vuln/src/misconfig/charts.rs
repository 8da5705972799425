//! What Helm charts deploy, by the rules of Kubernetes.

use super::{Finding, kubernetes};
use crate::helm::Rendered;

/// Checks rendered charts. A finding is at its template; lines would be those of the rendered text, so it has none.
pub fn check(rendered: &Rendered) -> Vec<Finding> {
    let checked = rendered.documents.iter().filter_map(|(path, text)| kubernetes::check(path, text));
    checked.flatten().map(|finding| Finding { lines: None, ..finding }).collect()
}
