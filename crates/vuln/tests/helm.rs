//! Charts rendered as Helm itself renders them: the chart that is shipped, the one that `helm create` makes, and (by
//! hand) every chart below `BONDED_CHARTS`. Compared are the objects, not how they are written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vuln::helm::{Charts, wants};

/// Helm, where `./test --all` puts it or on the path.
fn helm() -> Option<PathBuf> {
    let own = std::env::home_dir().map(|home| home.join(".cache/bonded-tools/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join("helm"))
        .find(|file| file.is_file())
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

/// Objects by kind and name; what has no kind is left out.
fn objects<'t>(documents: impl Iterator<Item = &'t str>) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for text in documents {
        let Ok(object) = serde_saphyr::from_str::<Value>(text) else { continue };
        let (Some(kind), Some(name)) = (object["kind"].as_str(), object["metadata"]["name"].as_str()) else {
            continue;
        };
        out.insert(format!("{kind} {name}"), object);
    }
    out
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n---")
}

/// How a chart differs; none if Helm refuses it too.
fn difference(helm: &Path, chart: &Path) -> Option<Result<usize, String>> {
    let mut command = Command::new(helm);
    command
        .args(["template", "release-name", "--kube-version", "1.34.0", "--skip-schema-validation"])
        .arg(chart);
    let made = command.output().expect("helm runs");
    if !made.status.success() {
        return None;
    }
    let theirs = String::from_utf8(made.stdout).expect("UTF-8");
    let theirs = objects(split(&theirs));
    let (mut charts, mut all) = (Charts::default(), Vec::new());
    files(chart, &mut all);
    for path in all {
        let name = path.strip_prefix(chart).expect("below the chart").to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).expect("file");
        if wants(&name, bytes.len() as u64) {
            charts.take(&name, &bytes);
        }
    }
    let rendered = charts.render();
    if !rendered.failed.is_empty() {
        return Some(Err(format!("{:?}", rendered.failed)));
    }
    let ours = objects(rendered.documents.values().flat_map(|text| split(text)));
    for (name, object) in &theirs {
        match ours.get(name) {
            None => return Some(Err(format!("{name} is missing"))),
            Some(own) if own != object => return Some(Err(format!("{name}: {own}\nhelm: {object}"))),
            Some(_) => {}
        }
    }
    let more: Vec<&String> = ours.keys().filter(|name| !theirs.contains_key(*name)).collect();
    Some(if more.is_empty() { Ok(theirs.len()) } else { Err(format!("{more:?} are not Helm's")) })
}

#[test]
fn charts_are_rendered_as_helm_renders_them() {
    let Some(helm) = helm() else {
        println!("skipped: helm is not installed");
        return;
    };
    let dir = std::env::temp_dir().join(format!("bonded-helm-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("directory");
    let made = Command::new(&helm).args(["create", "demo"]).current_dir(&dir).output().expect("helm runs");
    assert!(made.status.success(), "{made:?}");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/bonded");
    for chart in [dir.join("demo"), shipped] {
        match difference(&helm, &chart) {
            Some(Ok(objects)) => assert!(objects > 0, "{}", chart.display()),
            Some(Err(why)) => panic!("{}: {why}", chart.display()),
            None => println!("skipped: {} needs values", chart.display()),
        }
    }
    std::fs::remove_dir_all(&dir).expect("directory");
    let Some(folder) = std::env::var_os("BONDED_CHARTS") else { return };
    let (mut same, mut other, mut all) = (0, 0, Vec::new());
    files(Path::new(&folder), &mut all);
    for chart in all.iter().filter(|path| path.ends_with("Chart.yaml")).filter_map(|path| path.parent()) {
        match difference(&helm, chart) {
            None => println!("{}: refused by helm", chart.display()),
            Some(Ok(objects)) => {
                same += 1;
                println!("{}: {objects} objects, the same", chart.display());
            }
            Some(Err(why)) => {
                other += 1;
                println!("{}: {}", chart.display(), why.chars().take(2000).collect::<String>());
            }
        }
    }
    println!("{same} charts the same, {other} not");
}
