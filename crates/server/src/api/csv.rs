//! CSV that is made while it is sent; and findings so, with the columns of Harbor's exports.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use registry::{Caller, Error};
use tokio::sync::mpsc;
use vuln::foreign::CombinedFinding;

use super::findings::{Filter, Place, severity_name, walk};
use crate::app::App;

/// Parts whose lines wait for a slow reader.
const WAITING: usize = 4;

const COLUMNS: [&str; 14] = [
    "RowId",
    "Scanner",
    "Repository",
    "Artifact Digest",
    "CVE",
    "Package",
    "Current Version",
    "Fixed in version",
    "Severity",
    "CVSS V3 Score",
    "CVSS V2 Score",
    "CVSS V3 Vector",
    "CVSS V2 Vector",
    "CWE Ids",
];

/// A CVSS rating of a finding: its vector and score.
fn cvss<'a>(finding: &'a CombinedFinding, prefix: &str) -> Option<(&'a str, Option<f64>)> {
    let ratings = finding.said.iter().flat_map(|said| &said.ratings);
    let mut rated = ratings.filter_map(|rating| Some((rating.vector.as_deref()?, rating.score)));
    let of_version = |vector: &str| match prefix {
        "" => !vector.starts_with("CVSS:"),
        prefix => vector.starts_with(prefix),
    };
    rated.find(|(vector, _)| of_version(vector))
}

/// The lines of an artifact's findings; `row` is the number of the last one.
fn lines(place: &Place, filter: &Filter, row: &mut u64) -> Result<Bytes, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for judged in &place.judged {
        for finding in judged.findings().filter(|finding| filter.names(finding)) {
            *row += 1;
            let score = |rated: Option<(&str, Option<f64>)>| {
                rated.and_then(|(_, score)| score).map(|score| format!("{score:.1}")).unwrap_or_default()
            };
            let vector = |rated: Option<(&str, Option<f64>)>| {
                rated.map(|(vector, _)| vector.to_owned()).unwrap_or_default()
            };
            let mut by: Vec<&str> = finding.said.iter().map(|said| said.by.as_str()).collect();
            by.dedup();
            let (third, second) = (cvss(finding, "CVSS:3"), cvss(finding, ""));
            let record = [
                row.to_string(),
                by.join(" "),
                place.repository.clone(),
                judged.digest.to_string(),
                finding.id.clone(),
                finding.package.clone(),
                finding.version.clone(),
                finding.fixed_versions.join(" "),
                severity_name(finding.severity).to_owned(),
                score(third),
                score(second),
                vector(third),
                vector(second),
                finding.weaknesses.join(" "),
            ];
            writer.write_record(record).map_err(|error| Error::Internal(error.to_string()))?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| Error::Internal(error.to_string()))?;
    Ok(bytes.into())
}

/// Where the lines of an answer go that is made while it is sent.
pub(super) struct Lines(mpsc::Sender<Result<Bytes, std::io::Error>>);

impl Lines {
    /// Sends some; false: nobody reads them any more.
    pub(super) async fn tell(&self, lines: Bytes) -> bool {
        self.0.send(Ok(lines)).await.is_ok()
    }
}

/// An answer that is made while it is sent. A failure on the way ends it early, which the reader sees.
pub(super) fn streamed<F>(name: &str, make: impl FnOnce(Lines) -> F) -> Response
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(WAITING);
    let made = make(Lines(sender.clone()));
    tokio::spawn(async move {
        let made = tokio::select! {
            // Nobody reads it any more.
            () = sender.closed() => return,
            made = made => made,
        };
        if let Err(error) = made {
            tracing::warn!(%error, "an export ended early");
            let _ = sender.send(Err(std::io::Error::other("the export ended early"))).await;
        }
    });
    let body = stream::unfold(receiver, async |mut receiver| {
        let item = receiver.recv().await?;
        Some((item, receiver))
    });
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [(CONTENT_TYPE, "text/csv".to_owned()), (CONTENT_DISPOSITION, disposition)];
    (headers, Body::from_stream(body)).into_response()
}

/// The findings of all artifacts of a filter.
pub(super) fn answer(app: Arc<App>, caller: Caller, filter: Filter, name: &str) -> Response {
    streamed(name, async move |out: Lines| {
        if !out.tell(format!("{}\n", COLUMNS.join(",")).into()).await {
            return Ok(());
        }
        let out = Arc::new(out);
        let (mut row, mut failed) = (0, None);
        let tell = |place: Place| {
            let found = lines(&place, &filter, &mut row);
            let out = Arc::clone(&out);
            let found = found.map_err(|error| failed = Some(error)).ok();
            async move {
                match found {
                    Some(bytes) => out.tell(bytes).await,
                    None => false,
                }
            }
        };
        walk(app, caller, &filter, tell).await?;
        failed.map_or(Ok(()), Err)
    })
}
