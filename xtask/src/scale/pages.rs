//! Pages of the three lists, timed one by one on one connection.

use std::time::Instant;

use anyhow::ensure;
use e2e::http::Request;
use e2e::registry::sha256;

use super::Args;
use super::fill::{WIDE, repository, smallest, tag};
use crate::bench::target::BenchTarget;

/// Places in a list from which a page is asked, and repetitions of each.
const PLACES: u64 = 10;
const TIMES: usize = 5;
/// Pages followed over `Link` where a list has no other way to its middle.
const FOLLOWED: usize = 20;

/// A list and the pages of it that are timed.
pub(super) struct List {
    pub(super) name: String,
    /// First pages to ask for.
    targets: Vec<String>,
    /// Whether to go on over `Link` from there.
    follow: bool,
    /// The member of the answer that holds the entries.
    member: &'static str,
}

/// The lists that were filled.
pub(super) fn lists(args: &Args) -> anyhow::Result<Vec<List>> {
    let subject = sha256(&smallest());
    let places = |count: u64, name: &dyn Fn(u64) -> String, base: &str, n: u64| -> Vec<String> {
        let places = (0..PLACES).map(|place| count * place / PLACES);
        places.map(|at| format!("{base}?n={n}&last={}", name(at))).collect()
    };
    let tags = format!("/v2/{WIDE}/tags/list");
    let referrers = format!("/v2/{WIDE}/referrers/{subject}");
    let list = |name: &str, targets, follow, member| List { name: name.to_owned(), targets, follow, member };
    let lists = vec![
        list(
            "repositories, 100 a page",
            places(args.repositories, &repository, "/v2/_catalog", 100),
            false,
            "repositories",
        ),
        list("tags, 100 a page", places(args.tags, &tag, &tags, 100), false, "tags"),
        list("tags, 1000 a page", places(args.tags, &tag, &tags, 1000), false, "tags"),
        list("referrers, pages as the server cuts", vec![referrers.clone()], true, "manifests"),
        list(
            "referrers of a rare type",
            vec![format!("{referrers}?artifactType=application/vnd.example.rare")],
            true,
            "manifests",
        ),
    ];
    ensure!(args.repositories > 0 && args.tags > 0 && args.referrers > 0, "nothing to list");
    Ok(lists)
}

/// Milliseconds of every page, sorted.
pub(super) fn time(server: &BenchTarget, list: &List) -> anyhow::Result<Vec<f64>> {
    let mut connection = server.target.connect();
    connection.send(&Request::new("GET", "/v2/"))?;
    let mut times = Vec::new();
    for target in &list.targets {
        let mut next = Some(target.clone());
        let mut pages = 0;
        while let Some(target) = next.take() {
            for _ in 0..TIMES {
                let start = Instant::now();
                let answer = connection.send(&Request::new("GET", target.clone()))?;
                times.push(start.elapsed().as_secs_f64() * 1000.0);
                ensure!(answer.status == 200, "{target}: {} {}", answer.status, answer.text());
                let entries = answer.json()[list.member].as_array().map_or(0, Vec::len);
                ensure!(entries > 0, "{target}: an empty page");
                next = answer.header("link").map(|link| {
                    link.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned()
                });
            }
            pages += 1;
            if !list.follow || pages >= FOLLOWED {
                break;
            }
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
