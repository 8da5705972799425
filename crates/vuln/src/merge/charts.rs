//! Images of Helm charts: a values file counts beside a `Chart.yaml`, whose `appVersion` is the tag where none is given.

use std::collections::HashMap;

use super::effective::Effective;
use crate::extract::helm::{APP_VERSION, CHART, VALUES};
use crate::package::Package;

/// Charts by directory.
pub(super) struct Charts<'f>(HashMap<&'f str, &'f str>);

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl<'f> Charts<'f> {
    pub(super) fn of(files: &'f [Effective<'_>]) -> Self {
        let charts = files.iter().filter(|file| file.result.extractor == CHART);
        Self(charts.map(|file| (directory(&file.path), file.result.text.as_deref().unwrap_or(""))).collect())
    }

    /// Completes an image's tag; false if it is no chart's image.
    pub(super) fn complete(&self, file: &Effective<'_>, package: &mut Package) -> bool {
        if file.result.extractor != VALUES {
            return true;
        }
        let Some(app_version) = self.0.get(directory(&file.path)) else { return false };
        if package.version == APP_VERSION {
            (*app_version).clone_into(&mut package.version);
        }
        !package.version.is_empty()
    }
}
