//! Golden cases: each folder below `golden` is one rule of translation, shown by objects, what they become, and the
//! requests a user would send. `UPDATE=1` rewrites what is expected; `golden/README.md` explains the files.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Picture, Plane, destination, object, owner};
use serde::Deserialize;
use table::{RequestHost, RequestPath};
use translate::{Options, translate};

/// The time of all cases: the first of January 2030.
const NOW: i64 = 1_893_456_000;

/// The file `options.yaml`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    watch_ingress_without_class: bool,
    classless_without_classes: Option<bool>,
    default_backend_service: Option<String>,
    default_ssl_certificate: Option<String>,
    annotations_prefix: Option<String>,
}

impl Written {
    fn options(self) -> Options {
        let key = |text: Option<String>| {
            text.map(|text| text.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap())
        };
        let default = Options::default();
        Options {
            watch_ingress_without_class: self.watch_ingress_without_class,
            classless_without_classes: self.classless_without_classes.unwrap_or(true),
            default_backend_service: key(self.default_backend_service),
            default_ssl_certificate: key(self.default_ssl_certificate),
            annotations_prefix: self.annotations_prefix.unwrap_or(default.annotations_prefix),
            ..default
        }
    }
}

#[test]
fn every_case_is_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 40);
    let failures: Vec<String> = cases.iter().flat_map(|case| check(case)).collect();
    assert!(failures.is_empty(), "{}\nUPDATE=1 rewrites what is expected", failures.join("\n"));
}

/// The differences of a case.
fn check(case: &Path) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(case.join(name)).unwrap_or_default();
    let options = match read("options.yaml") {
        text if text.is_empty() => Written::default(),
        text => serde_saphyr::from_str(&text).unwrap(),
    };
    let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&read("in.yaml")).unwrap();
    let output = translate(objects.into_iter().map(object), options.options(), NOW);
    let mut plane = Plane::default();
    plane.take(&output);

    let notes: Vec<String> = output.notes.iter().flat_map(|(_, notes)| notes).map(ToString::to_string).collect();
    let asked: Vec<String> = parse(&read("requests.yaml"));
    let answered: Vec<String> = asked.iter().map(|line| answer(&plane, line.split(" -> ").next().unwrap())).collect();
    if std::env::var_os("UPDATE").is_some() {
        let write = |name: &str, text: String| fs::write(case.join(name), text).unwrap();
        write("table.yaml", serde_saphyr::to_string(&plane.picture()).unwrap());
        write("report.yaml", list(&notes));
        write("requests.yaml", list(&answered));
    }
    let expected: Picture = serde_saphyr::from_str(&read("table.yaml")).unwrap_or_default();
    let differences = [
        (plane.picture() != expected).then(|| format!("table.yaml: {:#?}\nis not\n{expected:#?}", plane.picture())),
        (notes != parse(&read("report.yaml"))).then(|| format!("report.yaml: now {notes:#?}")),
        (answered != parse(&read("requests.yaml"))).then(|| format!("requests.yaml: now {answered:#?}")),
    ];
    differences.into_iter().flatten().map(|text| format!("{}/{text}", case.display())).collect()
}

/// One line an item: JSON strings are YAML.
fn list(items: &[String]) -> String {
    match items {
        [] => "[]\n".to_owned(),
        items => items.iter().map(|item| format!("- {}\n", serde_json::to_string(item).unwrap())).collect(),
    }
}

fn parse(yaml: &str) -> Vec<String> {
    if yaml.is_empty() { vec![] } else { serde_saphyr::from_str(yaml).unwrap() }
}

/// `host/path` and what serves it.
fn answer(plane: &Plane, request: &str) -> String {
    let (authority, path) = request.split_at(request.find('/').unwrap());
    let host = RequestHost::parse(authority.as_bytes()).unwrap();
    let result = match RequestPath::parse(path) {
        Err(error) => format!("400 {error}"),
        Ok(path) => match plane.table.find_request(host.as_str(), &path) {
            Err(error) => format!("400 {error}"),
            Ok(found) => match found.rule() {
                None => "404".to_owned(),
                Some(rule) => format!("{} {} -> {}", owner(rule), rule.path.as_str(), reach(plane, rule)),
            },
        },
    };
    format!("{request} -> {result}")
}

/// Where the rule leads, and to which endpoints just now.
fn reach(plane: &Plane, rule: &table::Rule<features::Route>) -> String {
    let destination = destination(rule);
    let features::Backend::Cluster(id) = &rule.policy.backend else { return destination };
    if plane.external.contains_key(id) {
        return destination;
    }
    let list = plane.endpoints.get(id).unwrap_or_else(|| panic!("no endpoints were told of {id}"));
    match list.eligible().next() {
        Some(_) => destination,
        None => format!("503 {destination} has no endpoints"),
    }
}
