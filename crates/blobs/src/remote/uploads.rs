//! Listing multipart uploads (Amazon S3, `ListMultipartUploads`), which the library has no call for.
//!
//! The request is a URL signed by the library's own signer; its answer is untrusted XML, read in a streaming way and
//! bounded in pages.

use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions};
use quick_xml::events::Event;

use super::{Remote, failed};
use crate::BlobError;

const EXPIRY: std::time::Duration = std::time::Duration::from_mins(5);
/// Pages of 1,000 read at most.
const MOST_PAGES: usize = 100;
/// Largest answer read, in bytes (1,000 rows are some 500 KiB).
const MOST_BYTES: usize = 8 << 20;

/// A multipart upload that is neither completed nor aborted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) path: String,
    pub(super) id: String,
    pub(super) begun_unix_s: i64,
}

/// A page of the listing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    uploads: Vec<Upload>,
    truncated: bool,
    next_key: String,
    next_id: String,
}

impl Remote {
    /// Uploads to keys that begin with `prefix`, at most about `limit`; none where the service cannot list them.
    pub(super) async fn uploads(&self, prefix: &Path, limit: usize) -> Result<Vec<Upload>, BlobError> {
        let (Some(http), Some(signer)) = (&self.parts.http, &self.parts.signer) else {
            return Ok(Vec::new());
        };
        let (mut found, mut after) = (Vec::new(), None::<(String, String)>);
        for _ in 0..MOST_PAGES {
            let mut options = SignedUrlOptions::new().with_query([
                ("uploads", ""),
                ("prefix", prefix.as_ref()),
                ("max-uploads", "1000"),
            ]);
            if let Some((key, id)) = after.take() {
                options = options.with_query([("key-marker", key), ("upload-id-marker", id)]);
            }
            let url = signer.signed_url_opts(Method::GET, &Path::default(), EXPIRY, &options).await;
            let url = url.map_err(|e| failed("list uploads", e))?;
            let page = read_page(&fetch(http, url).await?)?;
            found.extend(page.uploads);
            if !page.truncated || found.len() >= limit {
                break;
            }
            after = Some((page.next_key, page.next_id));
        }
        Ok(found)
    }
}

fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BlobError {
    BlobError::Unavailable { operation: "list uploads", source: source.into() }
}

async fn fetch(http: &reqwest::Client, url: url::Url) -> Result<Vec<u8>, BlobError> {
    // The URL is signed: it must not get into an error's text.
    let answer = http.get(url).send().await.map_err(|e| unavailable(e.without_url()))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(unavailable(format!("the service answered {status}")));
    }
    let mut answer = answer;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| unavailable(e.without_url()))? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(unavailable("the answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn read_page(document: &[u8]) -> Result<Page, BlobError> {
    let mut reader = quick_xml::Reader::from_reader(document);
    let (mut page, mut current) = (Page::default(), None::<Upload>);
    let (mut element, mut text) = (Vec::new(), String::new());
    loop {
        match reader.read_event().map_err(unavailable)? {
            Event::Start(start) => {
                element = start.local_name().as_ref().to_vec();
                text.clear();
                if element == b"Upload" {
                    current = Some(Upload::default());
                }
            }
            Event::Text(part) => text.push_str(&part.decode().map_err(unavailable)?),
            Event::GeneralRef(entity) => text.push(match &*entity {
                b"amp" => '&',
                b"lt" => '<',
                b"gt" => '>',
                b"quot" => '"',
                b"apos" => '\'',
                _ => return Err(unavailable("an entity in the answer is unknown")),
            }),
            Event::End(end) => {
                let value = std::mem::take(&mut text);
                match (end.local_name().as_ref(), &mut current) {
                    (b"Upload", _) => page.uploads.extend(current.take()),
                    (name, Some(upload)) if element == name => match name {
                        b"Key" => upload.path = value,
                        b"UploadId" => upload.id = value,
                        b"Initiated" => upload.begun_unix_s = unix_seconds(&value).unwrap_or(0),
                        _ => {}
                    },
                    (b"IsTruncated", None) => page.truncated = value == "true",
                    (b"NextKeyMarker", None) => page.next_key = value,
                    (b"NextUploadIdMarker", None) => page.next_id = value,
                    _ => {}
                }
            }
            Event::Eof => return Ok(page),
            _ => {}
        }
    }
}

fn unix_seconds(text: &str) -> Option<i64> {
    Some(text.parse::<jiff::Timestamp>().ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_uploads_is_read() {
        let page = read_page(
            br#"<?xml version="1.0" encoding="UTF-8"?><ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Bucket>b</Bucket><KeyMarker></KeyMarker><NextKeyMarker>blobs/01/x&amp;y</NextKeyMarker>
            <NextUploadIdMarker>u2</NextUploadIdMarker><IsTruncated>true</IsTruncated>
            <Upload><Key>blobs/01/x</Key><UploadId>u1</UploadId><Initiator><ID>i</ID></Initiator>
            <Initiated>2026-11-21T09:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>"#,
        )
        .unwrap();
        let upload =
            Upload { path: "blobs/01/x".to_owned(), id: "u1".to_owned(), begun_unix_s: 1_795_251_600 };
        assert_eq!(page.uploads, [upload]);
        assert_eq!((page.truncated, &*page.next_key, &*page.next_id), (true, "blobs/01/x&y", "u2"));
        assert!(read_page(b"<a><b></a>").is_err());
    }
}
