//! `bonded search`: asks a server which of its images contain something.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use upstream::{Client, Fetched, ImageReference, UpstreamError};
use url::Url;

use crate::command::Outcome;
use crate::network::{NetworkArgs, runtime};
use crate::output;

/// Images of one page.
const PAGE: usize = 1000;
/// Bytes of one answer.
const MAX_ANSWER: u64 = 256 << 20;

/// Forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people: a line for each place of an image.
    Table,
    /// Everything.
    Json,
    /// A line for each place of an image and package.
    Csv,
}

/// Arguments of `bonded search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// What images must contain: `log4j-core < 2.17.1`, `cve:CVE-2021-44228`, `license:GPL-3.0-only AND ecosystem:npm`.
    #[arg(value_name = "QUESTION")]
    question: String,
    /// The registry: HOST, HOST:PORT or an address.
    #[arg(long, value_name = "HOST", env = "BONDED_SERVER")]
    server: String,
    /// Form of the answer.
    #[arg(short = 'f', long, value_enum, default_value = "table")]
    format: Form,
    /// File to write [default: standard output].
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Most images; with more, the exit code is 3 (CSV has all, or none if they are too many for an export).
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: usize,
    /// Exit code 1 when an image is found.
    #[arg(long)]
    fail_if_found: bool,
    #[command(flatten)]
    network: NetworkArgs,
}

/// A server's API, with credentials.
struct Server {
    client: Client,
    base: Url,
}

impl Server {
    fn new(args: &SearchArgs) -> anyhow::Result<Self> {
        let mut base = address(&args.server, args.network.plain_http)?;
        let host = match base.port() {
            Some(port) => format!("{}:{port}", base.host_str().unwrap_or_default()),
            None => base.host_str().unwrap_or_default().to_owned(),
        };
        let reference: ImageReference =
            format!("{host}/search").parse().with_context(|| format!("{host} is no registry"))?;
        if let Some(own) = args.network.keychain()?.of(&reference) {
            let set = base.set_username(&own.user).and_then(|()| base.set_password(Some(&own.password)));
            set.map_err(|()| anyhow::anyhow!("{host} takes no credentials"))?;
        }
        Ok(Self { client: args.network.client()?, base })
    }

    async fn ask(&self, path: &str, pairs: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
        let mut url = self.base.join(path)?;
        url.query_pairs_mut().extend_pairs(pairs);
        let mut bytes = Vec::new();
        match self.client.fetch(&url, None, MAX_ANSWER, &mut bytes).await {
            Ok(Fetched::Changed { .. } | Fetched::Unchanged) => Ok(bytes),
            Err(UpstreamError::Status { place, status }) => match status.as_u16() {
                400 => {
                    bail!("{place}: not a question that the server answers; docs/estate.md says how to ask")
                }
                401 | 403 => bail!("{place}: the credentials are refused; `docker login` keeps them"),
                404 => bail!("{place}: no such registry, or an older version of it"),
                _ => bail!("{place}: {status}"),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// The address of a server: as with image names, clear text is for this machine and for whoever asks for it.
fn address(server: &str, plain_http: bool) -> anyhow::Result<Url> {
    let text = if server.contains("://") {
        server.to_owned()
    } else {
        let url = Url::parse(&format!("https://{server}")).context("the server's name")?;
        let own = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        format!("{}://{server}", if own || plain_http { "http" } else { "https" })
    };
    Url::parse(&text).with_context(|| format!("`{server}` is no server's address"))
}

pub(crate) fn run(args: SearchArgs) -> anyhow::Result<Outcome> {
    let server = Server::new(&args)?;
    runtime()?.block_on(async {
        if args.format == Form::Csv {
            let bytes = server.ask("/api/v1/search/images.csv", &[("q", &args.question)]).await?;
            // After the line of names.
            let found = bytes.split(|byte| *byte == b'\n').nth(1).is_some_and(|line| !line.is_empty());
            output::write(&bytes, args.output.as_deref())?;
            return Ok(outcome(&args, found, false));
        }
        let (total, images) = all(&server, &args).await?;
        let more = total > images.len() as u64;
        let bytes = match args.format {
            Form::Json => {
                let document = json!({ "total": total, "images": images });
                format!("{}\n", serde_json::to_string_pretty(&document)?)
            }
            _ => table(total, &images),
        };
        output::write(bytes.as_bytes(), args.output.as_deref())?;
        if more {
            output::note(&format!("bonded: {} of {total} images; --limit says how many", images.len()));
        }
        Ok(outcome(&args, total > 0, more))
    })
}

fn outcome(args: &SearchArgs, found: bool, more: bool) -> Outcome {
    match (found && args.fail_if_found, more) {
        (true, _) => Outcome::Findings,
        (false, true) => Outcome::Incomplete,
        (false, false) => Outcome::Clean,
    }
}

/// All pages, up to the limit, and how many images there are.
async fn all(server: &Server, args: &SearchArgs) -> anyhow::Result<(u64, Vec<Value>)> {
    let (mut images, mut after) = (Vec::new(), None::<String>);
    loop {
        let limit = PAGE.min(args.limit - images.len()).max(1).to_string();
        let mut pairs = vec![("q", args.question.as_str()), ("limit", limit.as_str())];
        pairs.extend(after.as_deref().map(|after| ("after", after)));
        let bytes = server.ask("/api/v1/search/images", &pairs).await?;
        let mut page: Value = serde_json::from_slice(&bytes).context("the server's answer")?;
        let total = page["total"].as_u64().context("the server's answer names no total")?;
        if let Value::Array(found) = page["images"].take() {
            images.extend(found);
        }
        images.truncate(args.limit);
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() || images.len() >= args.limit {
            return Ok((total, images));
        }
    }
}

/// A line for each place, with the packages that were asked for.
fn table(total: u64, images: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut rows = vec![["IMAGE".to_owned(), "DIGEST".to_owned(), "PACKAGES".to_owned()]];
    for image in images {
        let digest: String = text(&image["digest"]).chars().take(19).collect();
        let named = list(&image["packages"]);
        let mut packages: Vec<String> =
            named.iter().map(|it| format!("{} {}", text(&it["name"]), text(&it["version"]))).collect();
        let more = image["matched"].as_u64().unwrap_or(0).saturating_sub(packages.len() as u64);
        if more > 0 {
            packages.push(format!("{more} more"));
        }
        for place in list(&image["places"]) {
            let (repository, tags) = (text(&place["repository"]), list(&place["tags"]));
            let names: Vec<String> = tags.iter().map(|tag| format!("{repository}:{}", text(tag))).collect();
            let name = if names.is_empty() { repository } else { names.join(", ") };
            rows.push([name, digest.clone(), packages.join(", ")]);
        }
    }
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let mut out = String::new();
    for [name, digest, packages] in rows.iter().filter(|_| !images.is_empty()) {
        let _ = writeln!(out, "{name:first$}  {digest:second$}  {packages}");
    }
    let noun = if total == 1 { "image" } else { "images" };
    let _ = writeln!(out, "{total} {noun}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_is_for_this_machine_and_for_who_asks_for_it() {
        let of = |server: &str, plain| address(server, plain).map(|url| url.to_string());
        assert_eq!(of("registry.example", false).expect("an address"), "https://registry.example/");
        assert_eq!(of("registry.example:5000", true).expect("an address"), "http://registry.example:5000/");
        assert_eq!(of("localhost:5000", false).expect("an address"), "http://localhost:5000/");
        assert_eq!(of("[::1]:5000", false).expect("an address"), "http://[::1]:5000/");
        assert!(of("not a host", false).is_err());
    }

    #[test]
    fn a_table_names_places_tags_and_packages() {
        let image = json!({
            "digest": format!("sha256:{}", "ab".repeat(32)), "matched": 3,
            "places": [{ "repository": "team/app", "tags": ["v1", "v2"] }, { "repository": "old/app", "tags": [] }],
            "packages": [{ "name": "log4j-core", "version": "2.14.1" }],
        });
        let text = table(1, &[image]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "team/app:v1, team/app:v2  sha256:abababababab  log4j-core 2.14.1, 2 more");
        assert_eq!(lines[2], "old/app                   sha256:abababababab  log4j-core 2.14.1, 2 more");
        assert_eq!((lines[3], table(0, &[]).as_str()), ("1 image", "0 images\n"));
    }
}
