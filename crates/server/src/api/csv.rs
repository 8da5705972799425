//! Findings as CSV, with the columns of Harbor's exports, streamed while they are made.

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

/// Artifacts whose lines wait for a slow reader.
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
pub(super) fn cvss<'a>(finding: &'a CombinedFinding, prefix: &str) -> Option<(&'a str, Option<f64>)> {
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

/// An answer that is made while it is sent. A failure on the way ends it early, which the reader sees.
pub(super) fn answer(app: Arc<App>, caller: Caller, filter: Filter, name: &str) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(WAITING);
    tokio::spawn(async move {
        let head = format!("{}\n", COLUMNS.join(","));
        if sender.send(Ok(head.into())).await.is_err() {
            return;
        }
        let mut row = 0;
        let tell = |place: Place| {
            let lines = lines(&place, &filter, &mut row);
            let sender = sender.clone();
            async move {
                match lines {
                    Ok(bytes) => sender.send(Ok(bytes)).await.is_ok(),
                    Err(error) => {
                        tracing::error!(%error, "an export ended early");
                        false
                    }
                }
            }
        };
        let walked = tokio::select! {
            // Nobody reads it any more.
            () = sender.closed() => return,
            walked = walk(app, caller, &filter, tell) => walked,
        };
        if let Err(error) = walked {
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
