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
    #[serde(default)]
    pub(super) sort: String,
    /// Whether more than 1,000 rows need not be counted.
    #[serde(default)]
    pub(super) tune_count: bool,
    /// Where the page begins, as a `Link` says it: pages after row 10,000 are reached so.
    #[serde(default)]
    pub(super) after: String,
}

/// One page that was read by key, and where the next one begins.
pub(super) struct Keyed<T> {
    pub(super) rows: Vec<T>,
    pub(super) total: usize,
    /// What names the last row, when more follow.
    pub(super) next: Option<String>,
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

    /// Rows to skip so that the page begins; none when the cursor says where it does.
    pub(super) fn skip(&self) -> Result<usize, Error> {
        if self.after.is_empty() { Ok(self.rows()? - self.size()) } else { Ok(0) }
    }

    /// Whether the next page can be asked for by its number.
    pub(super) fn has_next(&self) -> bool {
        (self.number() + 1).saturating_mul(self.size()) <= MAX_OFFSET
    }

    /// The terms of `q`: keys and what is asked of them.
    pub(super) fn terms(&self) -> impl Iterator<Item = (&str, &str)> {
        self.q.split(',').filter_map(|term| term.split_once('='))
    }

    /// The value of a term `key=value` or `key=~value` of `q`.
    pub(super) fn term(&self, key: &str) -> Option<&str> {
        self.fuzzy_term(key).map(|(value, _)| value)
    }

    /// The same, and whether the value need only be contained (`~`).
    pub(super) fn fuzzy_term(&self, key: &str) -> Option<(&str, bool)> {
        let (_, value) = self.terms().find(|(name, _)| *name == key)?;
        Some((value.trim_start_matches('~'), value.starts_with('~')))
    }

    /// What the list is ordered by, and whether from the end: the first of `sort`'s names.
    pub(super) fn order(&self) -> (&str, bool) {
        let first = self.sort.split(',').next().unwrap_or_default().trim();
        match first.strip_prefix('-') {
            Some(name) => (name, true),
            None => (first, false),
        }
    }

    /// A page that was read by key. The link to the next one carries its cursor and whatever else was asked.
    pub(super) fn keyed<T: Serialize>(&self, path: &str, asked: Option<&str>, page: Keyed<T>) -> Response {
        let kept = form_urlencoded::parse(asked.unwrap_or_default().as_bytes())
            .filter(|(name, _)| !matches!(&**name, "page" | "page_size" | "after"));
        let kept: Vec<_> = kept.collect();
        let (number, size) = (self.number(), self.size());
        let link = |number: usize, after: Option<&str>, relation: &str| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("page", &number.to_string()).append_pair("page_size", &size.to_string());
            query.extend_pairs(&kept);
            query.extend_pairs(after.filter(|after| !after.is_empty()).map(|after| ("after", after)));
            format!("</api/v2.0{path}?{}>; rel=\"{relation}\"", query.finish())
        };
        let mut links = Vec::new();
        if number > 1 && self.after.is_empty() {
            links.push(link(number - 1, None, "prev"));
        }
        links.extend(page.next.map(|after| link(number + 1, Some(&after), "next")));
        let mut response = ([(TOTAL_COUNT, page.total.to_string())], Json(page.rows)).into_response();
        if let (false, Ok(value)) = (links.is_empty(), HeaderValue::from_str(&links.join(" , "))) {
            response.headers_mut().insert(LINK, value);
        }
        response
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
