//! Harbor's pages: `page` counts from 1, `page_size` is 10 unless said and at most 100; a page past the end is empty.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::LINK;
use registry::Error;
use serde::{Deserialize, Serialize};

use crate::api::extract::TOTAL_COUNT;

/// Rows that can be reached by page number.
const MAX_OFFSET: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
pub(super) struct PageQuery {
    page: Option<usize>,
    page_size: Option<usize>,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) username: String,
    #[serde(default)]
    pub(super) q: String,
}

impl PageQuery {
    pub(super) fn size(&self) -> usize {
        self.page_size.filter(|size| *size > 0).unwrap_or(10).min(100)
    }

    fn number(&self) -> usize {
        self.page.filter(|page| *page > 0).unwrap_or(1)
    }

    /// Rows to read so that the page is among them.
    pub(super) fn rows(&self) -> Result<usize, Error> {
        let rows = self.number().saturating_mul(self.size());
        if rows > MAX_OFFSET {
            let text =
                format!("pages reach to row {MAX_OFFSET}; follow the Link header or narrow the search");
            return Err(Error::Invalid(text));
        }
        Ok(rows)
    }

    /// The value of a term `key=value` or `key=~value` of `q`.
    pub(super) fn term(&self, key: &str) -> Option<&str> {
        let (_, value) =
            self.q.split(',').filter_map(|term| term.split_once('=')).find(|(name, _)| *name == key)?;
        Some(value.trim_start_matches('~'))
    }

    /// The page of `rows`, which begin at the list's begin.
    pub(super) fn render<T: Serialize>(&self, path: &str, rows: Vec<T>, total: usize) -> Response {
        let (number, size) = (self.number(), self.size());
        let page: Vec<T> = rows.into_iter().skip((number - 1) * size).take(size).collect();
        let mut response = ([(TOTAL_COUNT, total.to_string())], Json(page)).into_response();
        let link = |number: usize, relation: &str| {
            format!("</api/v2.0{path}?page={number}&page_size={size}>; rel=\"{relation}\"")
        };
        let mut links = Vec::new();
        if number > 1 {
            links.push(link(number - 1, "prev"));
        }
        if number * size < total {
            links.push(link(number + 1, "next"));
        }
        if let (false, Ok(value)) = (links.is_empty(), HeaderValue::from_str(&links.join(" , "))) {
            response.headers_mut().insert(LINK, value);
        }
        response
    }
}
