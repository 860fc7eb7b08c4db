//! Golden cases: each folder below `golden` is one rule of translation, shown by objects, what they become, and the
//! requests a user would send. `UPDATE=1` rewrites what is expected; `golden/README.md` explains the files.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Picture, Plane, destination, object, owner};
use features::{Ask, Edits, Request, StillWorld, Verdict, World};
use http::{HeaderMap, HeaderName};
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
    configmap: Option<String>,
    enable_ssl_passthrough: bool,
    tcp_services_configmap: Option<String>,
    udp_services_configmap: Option<String>,
    reserved_ports: Vec<u16>,
    translate_snippets: bool,
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
            configmap: key(self.configmap),
            enable_ssl_passthrough: self.enable_ssl_passthrough,
            tcp_services_configmap: key(self.tcp_services_configmap),
            udp_services_configmap: key(self.udp_services_configmap),
            reserved_ports: self.reserved_ports,
            translate_snippets: self.translate_snippets,
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

/// `[METHOD] [https://]host/path[?query]`, then fields after bars, and what serves it.
fn answer(plane: &Plane, asked: &str) -> String {
    let mut parts = asked.split(" | ");
    let line = parts.next().unwrap();
    let (method, url) = line.split_once(' ').unwrap_or(("GET", line));
    let (tls, url) = url.strip_prefix("https://").map_or((false, url), |url| (true, url));
    let (authority, target) = url.split_at(url.find('/').unwrap());
    let host = RequestHost::parse(authority.as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    for field in parts {
        let (name, value) = field.split_once(": ").unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let result = match RequestPath::parse(target.split('?').next().unwrap()) {
        Err(error) => format!("400 {error}"),
        Ok(path) => match plane.table.find_request(host.as_str(), &path) {
            Err(error) => format!("400 {error}"),
            Ok(found) => match found.rule() {
                None => "404".to_owned(),
                Some(rule) => {
                    let request = Request {
                        method: &method.parse().unwrap(),
                        tls,
                        authority,
                        host: host.as_str(),
                        path: path.as_str(),
                        target,
                        headers: &headers,
                        client: Some([192, 0, 2, 1].into()),
                        port: if tls { 443 } else { 80 },
                        request_id: "id",
                        labels: &rule.policy.labels,
                        world: &Held(plane),
                    };
                    let rule_path = rule.path.as_str();
                    format!("{} {rule_path} -> {}{}", owner(rule), reach(plane, rule), decided(rule, &request))
                }
            },
        },
    };
    format!("{asked} -> {result}")
}

/// Nothing happens, and the certificates are the table's.
struct Held<'a>(&'a Plane);

impl std::fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

impl World for Held<'_> {
    fn now(&self) -> std::time::Duration {
        StillWorld.now()
    }

    fn random(&self) -> u32 {
        StillWorld.random()
    }

    fn has_certificate(&self, host: &str) -> bool {
        self.0.table.certificates.find(host).is_some()
    }
}

/// What the features of the rule decide: the answer, or what the endpoint and the client get.
fn decided(rule: &table::Rule<features::Route>, request: &Request<'_>) -> String {
    let (plan, mut edits) = (&rule.policy.plan, Edits::default());
    let verdict = features::run(plan, request, &mut edits, |_, _, _| ());
    let mut head = http::Response::new(());
    let mut text = match &verdict {
        Verdict::Continue => String::new(),
        Verdict::Answer(answer) => {
            head.headers_mut().extend(answer.fields.iter().cloned());
            format!("; answers {}", answer.status)
        }
        Verdict::Ask(ask) => match &**ask {
            Ask::Password(_) => "; asks for the password".to_owned(),
            Ask::Exchange(exchange) => format!("; asks {} {}", exchange.method, exchange.uri),
        },
    };
    if verdict == Verdict::Continue {
        text += &edits.target.iter().map(|target| format!("; sends {target}")).collect::<String>();
        text += &edits.host.iter().map(|host| format!("; to host {host:?}")).collect::<String>();
        for (name, value) in &edits.upstream_fields {
            text += &value.as_ref().map_or(format!("; without {name}"), |value| format!("; with {name}: {value:?}"));
        }
        text += &edits
            .copy
            .iter()
            .map(|copy| format!("; copy {} {} body {}", copy.url, copy.host, copy.body))
            .collect::<String>();
    }
    features::respond(plan, request, &edits, &mut head);
    text + &head.headers().iter().map(|(name, value)| format!("; {name}: {value:?}")).collect::<String>()
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
