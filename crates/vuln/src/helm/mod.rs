//! Helm charts as `helm template` renders them with their own default values, so that what they deploy can be judged.
//!
//! The caller gives files one by one ([`Charts::take`]); at the end every chart that is not part of another one is
//! rendered with its subcharts. Nothing is fetched, no cluster is asked: `lookup` finds nothing, a release is called
//! `release-name`. A template that cannot be rendered (an unknown function, a value that the chart requires and does not
//! give) is named with the reason. Sizes, steps and nesting are bounded.

mod eval;
mod functions;
mod lex;
mod parse;
mod text;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use eval::Engine;
use value::Value;

/// Longest file of a chart.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// All files of all charts.
const MAX_TOTAL_BYTES: usize = 32 << 20;
/// Deepest chart in a chart.
const MAX_CHARTS: usize = 8;

/// Files of charts.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Charts {
    files: BTreeMap<String, String>,
    bytes: usize,
    full: bool,
}

/// What charts deploy.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Path of the template → what it renders to.
    pub documents: BTreeMap<String, String>,
    /// Path of the template → why it could not be rendered.
    pub failed: BTreeMap<String, String>,
}

/// Whether a path may belong to a chart.
pub fn wants(path: &str, size_bytes: u64) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let template = || {
        let ending = [".yaml", ".yml", ".tpl"].iter().any(|ending| name.ends_with(ending));
        ending && path.split('/').rev().skip(1).any(|part| part == "templates")
    };
    size_bytes <= MAX_FILE_BYTES
        && (matches!(name, "Chart.yaml" | "values.yaml" | "values.yml") || template())
}

impl Charts {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.full
    }

    /// Takes a file that [`wants`] named; too many are said when they are rendered.
    pub fn take(&mut self, path: &str, content: &[u8]) {
        let Ok(text) = std::str::from_utf8(content) else { return };
        self.bytes += text.len();
        self.full |= self.bytes > MAX_TOTAL_BYTES;
        if !self.full {
            self.files.insert(path.to_owned(), text.to_owned());
        }
    }

    /// Takes the files of another collection, which win: a later layer.
    pub fn append(&mut self, later: Self) {
        self.bytes += later.bytes;
        self.full |= later.full || self.bytes > MAX_TOTAL_BYTES;
        self.files.extend(later.files);
    }

    /// Drops files that the caller names: those that a later layer hides.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.files.retain(|path, _| keep(path));
    }

    /// Renders every chart.
    pub fn render(&self) -> Rendered {
        let mut out = Rendered::default();
        let charts = self.files.keys().filter_map(|path| path.strip_suffix("Chart.yaml"));
        let charts: BTreeSet<&str> = charts.filter(|root| root.is_empty() || root.ends_with('/')).collect();
        let part = |root: &&str| {
            charts.iter().any(|other| other != root && root.starts_with(&format!("{other}charts/")))
        };
        let roots: Vec<&str> = charts.iter().copied().filter(|root| !part(root)).collect();
        for root in &roots {
            self.chart(root, &mut out);
        }
        if self.full && !roots.is_empty() {
            out.failed.insert("Chart.yaml".to_owned(), "the charts are too large".to_owned());
        }
        out
    }

    fn chart(&self, root: &str, out: &mut Rendered) {
        let mut engine = Engine::default();
        let mut parts = Vec::new();
        if let Err(why) = self.collect(root, &Value::Nil, 0, &mut parts) {
            out.failed.insert(format!("{root}Chart.yaml"), why);
            return;
        }
        let mut printing = Vec::new();
        for part in &parts {
            for (path, text) in self.templates(&part.root) {
                match engine.load(text) {
                    Ok(nodes) => {
                        // A file is a template of its path too: checksums of configuration are made so.
                        engine.define(path, &nodes);
                        let name = path.rsplit('/').next().unwrap_or(path);
                        if !part.library && !name.starts_with('_') && !name.ends_with(".tpl") {
                            printing.push((path, nodes, part));
                        }
                    }
                    Err(why) => drop(out.failed.insert(path.clone(), why)),
                }
            }
        }
        for (path, nodes, part) in printing {
            let members = [
                ("Name".to_owned(), path.as_str().into()),
                ("BasePath".to_owned(), format!("{}templates", part.root).into()),
            ];
            let dot: Value = part.root_value(members.into_iter().collect());
            match engine.run(&nodes, &dot) {
                Ok(text) => drop(out.documents.insert(path.clone(), text)),
                Err(why) => drop(out.failed.insert(path.clone(), why)),
            }
        }
    }

    fn templates(&self, root: &str) -> impl Iterator<Item = (&String, &String)> {
        let prefix = format!("{root}templates/");
        self.files.range(prefix.clone()..).take_while(move |(path, _)| path.starts_with(&prefix))
    }

    /// A chart and its subcharts, with the values that each sees.
    fn collect(&self, root: &str, given: &Value, depth: usize, out: &mut Vec<Part>) -> Result<(), String> {
        if depth > MAX_CHARTS {
            return Err(format!("charts are nested deeper than {MAX_CHARTS}"));
        }
        let read = |name: &str| self.files.get(&format!("{root}{name}")).map(|text| yaml(text)).transpose();
        let chart = read("Chart.yaml")?.unwrap_or_default();
        let own = match read("values.yaml")? {
            Some(values) => values,
            None => read("values.yml")?.unwrap_or_default(),
        };
        let own = if matches!(own, Value::Map(_)) { own } else { Value::from_iter([]) };
        let values =
            own.merged(&if matches!(given, Value::Map(_)) { given.clone() } else { Value::from_iter([]) }, 0);
        let prefix = format!("{root}charts/");
        let inner = self.files.keys().filter_map(|path| {
            let folder = path.strip_prefix(&prefix)?.strip_suffix("/Chart.yaml")?;
            (!folder.contains('/')).then(|| folder.to_owned())
        });
        let dependencies = chart.get("dependencies");
        for folder in inner {
            let name =
                match read(&format!("charts/{folder}/Chart.yaml"))?.unwrap_or_default().get("name").text() {
                    name if name.is_empty() => folder.clone(),
                    name => name,
                };
            let stated: Vec<&Value> =
                dependencies.items().iter().filter(|entry| entry.get("name").text() == name).collect();
            let usual = [Value::Nil];
            let uses: &[&Value] = if stated.is_empty() { &[&usual[0]] } else { &stated };
            for used in uses {
                if !enabled(used, &values) {
                    continue;
                }
                let alias = used.get("alias").text();
                let key = if alias.is_empty() { &name } else { &alias };
                let below = values.get(key);
                let below = if matches!(below, Value::Map(_)) { below } else { Value::from_iter([]) };
                let global = [("global".to_owned(), values.get("global"))].into_iter();
                let global: Value = global.filter(|(_, value)| matches!(value, Value::Map(_))).collect();
                self.collect(&format!("{prefix}{folder}/"), &global.merged(&below, 0), depth + 1, out)?;
            }
        }
        let library = chart.get("type").text() == "library";
        out.push(Part { root: root.to_owned(), chart, values, library });
        Ok(())
    }
}

/// Whether a dependency's condition, if it has one, is true: the first path of it that values state decides.
fn enabled(dependency: &Value, values: &Value) -> bool {
    let condition = dependency.get("condition").text();
    let stated = condition
        .split(',')
        .map(|path| values.path(path.trim()))
        .find(|value| matches!(value, Value::Bool(_)));
    stated.is_none_or(|value| value.truth())
}

struct Part {
    root: String,
    chart: Value,
    values: Value,
    library: bool,
}

impl Part {
    /// What the dot of a template is.
    fn root_value(&self, template: Value) -> Value {
        let map = |members: Vec<(&str, Value)>| -> Value {
            members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
        };
        let upper = |key: &String| {
            let mut chars = key.chars();
            chars
                .next()
                .map(|first| first.to_uppercase().chain(chars).collect::<String>())
                .unwrap_or_default()
        };
        let chart: Value = match &self.chart {
            Value::Map(members) => {
                members.borrow().iter().map(|(key, value)| (upper(key), value.clone())).collect()
            }
            _ => Value::Nil,
        };
        let version = "v1.34.0";
        let kube = map(vec![
            ("Version", version.into()),
            ("GitVersion", version.into()),
            ("Major", "1".into()),
            ("Minor", "34".into()),
        ]);
        map(vec![
            ("Values", self.values.clone()),
            ("Chart", chart),
            ("Template", template),
            ("Files", map(Vec::new())),
            ("Subcharts", map(Vec::new())),
            (
                "Capabilities",
                map(vec![
                    ("KubeVersion", kube),
                    ("APIVersions", map(Vec::new())),
                    ("HelmVersion", map(vec![("Version", "v3.19.0".into())])),
                ]),
            ),
            (
                "Release",
                map(vec![
                    ("Name", "release-name".into()),
                    ("Namespace", "default".into()),
                    ("Service", "Helm".into()),
                    ("IsInstall", true.into()),
                    ("IsUpgrade", false.into()),
                    ("Revision", Value::Int(1)),
                ]),
            ),
        ])
    }
}

/// A YAML document as a value.
fn yaml(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Nil);
    }
    let json: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    Ok(Value::from(&json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(files: &[(&str, &str)]) -> Rendered {
        let mut charts = Charts::default();
        for (path, text) in files {
            assert!(wants(path, text.len() as u64), "{path}");
            charts.take(path, text.as_bytes());
        }
        charts.render()
    }

    fn one(template: &str, values: &str) -> Result<String, String> {
        let files = [
            ("c/Chart.yaml", "name: demo\nversion: 1.0.0\nappVersion: \"2.1\"\n"),
            ("c/values.yaml", values),
            ("c/templates/x.yaml", template),
        ];
        let mut rendered = chart(&files);
        match rendered.failed.remove("c/templates/x.yaml") {
            Some(why) => Err(why),
            None => Ok(rendered.documents.remove("c/templates/x.yaml").expect("rendered")),
        }
    }

    #[test]
    fn the_language_is_executed() {
        let values = "a: {b: [1, two], empty: {}}\nname: Web App\nport: 8080\nratio: 0.5\non: true\n";
        for (template, expected) in [
            (
                "{{ .Values.port }} {{ .Values.ratio }} {{ .Chart.Name }}-{{ .Chart.AppVersion }}",
                "8080 0.5 demo-2.1",
            ),
            ("x  {{- /* comment */ -}}  y", "xy"),
            ("{{ if and .Values.on (not .Values.a.empty) }}yes{{ else }}no{{ end }}", "yes"),
            ("{{ if .Values.none }}1{{ else if eq .Values.port 8080 }}2{{ else }}3{{ end }}", "2"),
            ("{{ range $i, $v := .Values.a.b }}{{ $i }}={{ $v }};{{ end }}", "0=1;1=two;"),
            ("{{ range .Values.none }}x{{ else }}none{{ end }}", "none"),
            ("{{ with .Values.a }}{{ len .b }}{{ $.Values.name }}{{ end }}", "2Web App"),
            ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
            (
                "{{ .Values.name | lower | replace \" \" \"-\" | trunc 5 | trimSuffix \"-\" | quote }}",
                "\"web-a\"",
            ),
            ("{{ printf \"%s-%d %5.1f|%03d\" \"a\" 7 1.25 7 }}", "a-7   1.2|007"),
            ("{{ default \"x\" .Values.none }}{{ .Values.port | default 1 }}", "x8080"),
            (
                "{{ define \"t\" }}[{{ .k }}]{{ end }}{{ include \"t\" (dict \"k\" \"v\") | indent 2 }}",
                "  [v]",
            ),
            ("{{ tpl \"{{ .Values.port }}\" . }}", "8080"),
            ("{{ toYaml .Values.a | nindent 2 }}", "\n  b:\n  - 1\n  - two\n  empty: {}"),
            ("{{ $d := dict }}{{ $_ := set $d \"k\" 1 }}{{ get $d \"k\" }}{{ hasKey $d \"z\" }}", "1false"),
            ("{{ ternary \"a\" \"b\" (semverCompare \">=1.19-0\" .Capabilities.KubeVersion.Version) }}", "a"),
            ("{{ if .Capabilities.APIVersions.Has \"policy/v1\" }}p{{ end }}", "p"),
            ("{{ if .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" }}p{{ else }}-{{ end }}", "-"),
            ("{{ (index .Values.a.b 1) | upper }}{{ (.Values.none).deep.er }}", "TWO"),
            (
                "{{ range until 5 }}{{ if eq . 3 }}{{ break }}{{ end }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ . }}{{ end }}",
                "02",
            ),
        ] {
            assert_eq!(one(template, values).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_rendered_says_why() {
        for (template, expected) in [
            ("{{ required \"a host is needed\" .Values.host }}", "a host is needed"),
            ("{{ nonsense 1 }}", "nonsense"),
            ("{{ if true }}", "no end"),
            ("{{ .Values.x ", "no end"),
            ("a\n{{ ) }}", "line 2"),
            ("{{ define \"r\" }}{{ include \"r\" . }}{{ end }}{{ include \"r\" . }}", "nested deeper"),
            ("{{ range until 10000 }}{{ range until 10000 }}{{ . }}{{ end }}{{ end }}", "steps"),
            (
                "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ toYaml $d }}{{ $_ := unset $d \"d\" }}",
                "nested deeper",
            ),
        ] {
            let found = one(template, "").expect_err(template);
            assert!(found.contains(expected), "{template}: {found}");
        }
    }

    #[test]
    fn subcharts_see_their_values_and_the_global_ones() {
        let sub = "name: db\nversion: 1.0.0\n";
        let parent = "name: app\nversion: 1.0.0\ndependencies: [{name: db, condition: db.enabled}, {name: off, condition: off.enabled}]\n";
        let rendered = chart(&[
            ("Chart.yaml", parent),
            (
                "values.yaml",
                "global: {registry: r.example}\ndb: {enabled: true, size: 9}\noff: {enabled: false}\n",
            ),
            ("templates/a.yaml", "{{ include \"db.name\" . }}"),
            ("templates/_h.tpl", "{{ define \"app.name\" }}app{{ end }}"),
            ("charts/db/Chart.yaml", sub),
            ("charts/db/values.yaml", "size: 1\nname: d\n"),
            (
                "charts/db/templates/d.yaml",
                "{{ .Values.global.registry }}/{{ .Values.name }}:{{ .Values.size }} {{ include \"app.name\" . }}",
            ),
            ("charts/db/templates/_h.tpl", "{{ define \"db.name\" }}db of {{ .Chart.Name }}{{ end }}"),
            ("charts/off/Chart.yaml", "name: off\n"),
            ("charts/off/templates/o.yaml", "off"),
        ]);
        assert_eq!(rendered.failed, BTreeMap::new());
        let documents: Vec<(&str, &str)> =
            rendered.documents.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert_eq!(
            documents,
            [("charts/db/templates/d.yaml", "r.example/d:9 app"), ("templates/a.yaml", "db of app")]
        );
    }

    #[test]
    fn files_without_a_chart_are_left_alone() {
        let rendered = chart(&[("x/templates/a.yaml", "{{ .Values.x }}"), ("values.yaml", "a: 1")]);
        assert_eq!(rendered, Rendered::default());
    }
}
