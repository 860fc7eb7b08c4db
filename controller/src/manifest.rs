//! One manifest file to objects: whatever is broken in it is reported, the rest counts.
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use translate::{Kind, Object};

use crate::document::documents;
use crate::node::Node;
use crate::watched::Watched;

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// Its objects of the kinds that are read, in order, each with the line on which it begins.
    pub(crate) objects: Vec<(usize, Object)>,
    /// Documents that could not be read.
    pub(crate) broken: Vec<Problem>,
    /// Fields that no object of that kind has.
    pub(crate) warnings: Vec<Problem>,
}

/// Something wrong at a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A stream of YAML documents.
    Yaml,
    /// One JSON document.
    Json,
}

/// Reads a file's text.
pub(crate) fn read(text: &str, format: Format) -> Manifest {
    let mut manifest = Manifest::default();
    match format {
        Format::Yaml => documents(text).into_iter().for_each(|document| manifest.read(&Node::Yaml(document), None)),
        Format::Json if text.trim().is_empty() => {}
        Format::Json => manifest.read(&Node::Json(text), None),
    }
    manifest
}

/// What says which kind of object a document is.
#[derive(Clone, Debug, Deserialize)]
struct Header {
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    kind: Option<String>,
}

/// What names an object of which the rest may be broken.
#[derive(Deserialize)]
struct Named {
    metadata: NamedMeta,
}

#[derive(Deserialize)]
struct NamedMeta {
    name: String,
    namespace: Option<String>,
}

/// What a document is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// An object that is read.
    One(Kind),
    /// A list of objects; with the kind that its items have unless they name one.
    List(Option<Kind>),
    /// A kind that is not read.
    Other,
}

/// The kinds that are read, with their API group and version.
const KINDS: [(Kind, &str, &str); 7] = [
    (Kind::Ingress, "Ingress", "networking.k8s.io/v1"),
    (Kind::IngressClass, "IngressClass", "networking.k8s.io/v1"),
    (Kind::Service, "Service", "v1"),
    (Kind::EndpointSlice, "EndpointSlice", "discovery.k8s.io/v1"),
    (Kind::Secret, "Secret", "v1"),
    (Kind::ConfigMap, "ConfigMap", "v1"),
    (Kind::Pod, "Pod", "v1"),
];

impl Manifest {
    /// Reads a document, or an item of a list whose items are of the kind `default`.
    fn read(&mut self, node: &Node<'_>, default: Option<Kind>) {
        match content(node, default) {
            Ok(Content::One(kind)) => self.read_object(node, kind),
            Ok(Content::List(kind)) => match node.items() {
                Ok(items) => items.into_iter().for_each(|item| self.read(&item, kind)),
                Err(problem) => self.broken.push(unreadable(&problem, None, node)),
            },
            Ok(Content::Other) => {}
            Err(problem) => self.broken.push(problem),
        }
    }

    fn read_object(&mut self, node: &Node<'_>, kind: Kind) {
        let mut unknown = Vec::new();
        let object = match kind {
            Kind::Ingress => object(node, &mut unknown, Object::Ingress),
            Kind::IngressClass => object(node, &mut unknown, Object::IngressClass),
            Kind::Service => object(node, &mut unknown, Object::Service),
            Kind::EndpointSlice => object(node, &mut unknown, Object::EndpointSlice),
            Kind::ConfigMap => object(node, &mut unknown, Object::ConfigMap),
            Kind::Pod => object(node, &mut unknown, |pod: Arc<Pod>| Arc::unwrap_or_clone(pod).stripped()),
            Kind::Secret => object(node, &mut unknown, |secret| Object::Secret(with_string_data(secret))),
        };
        match object {
            Ok(object) => {
                self.warnings.extend(unknown.into_iter().map(|field| Problem {
                    line: node.line(),
                    message: format!(
                        "{} has an unknown field {field}; check its spelling and place",
                        object.reference()
                    ),
                }));
                self.objects.push((node.line(), object));
            }
            Err(problem) => self.broken.push(problem),
        }
    }
}

fn content(node: &Node<'_>, default: Option<Kind>) -> Result<Content, Problem> {
    let header: Header = node.parse(&mut |_| {}).map_err(|problem| unreadable(&problem, None, node))?;
    let (api_version, kind) = match (header.api_version, header.kind, default) {
        (Some(api_version), Some(kind), _) => (api_version, kind),
        (None, None, Some(kind)) => return Ok(Content::One(kind)),
        (api_version, _, _) => {
            let field = if api_version.is_none() { "apiVersion" } else { "kind" };
            let message = format!("is not a Kubernetes object: {field} is missing; add it or move the document away");
            return Err(Problem { line: node.line(), message });
        }
    };
    if (api_version.as_str(), kind.as_str()) == ("v1", "List") {
        return Ok(Content::List(None));
    }
    let (single, is_list) = kind.strip_suffix("List").map_or((kind.as_str(), false), |single| (single, true));
    let Some((kind, name, supported)) = KINDS.into_iter().find(|(_, name, _)| *name == single) else {
        return Ok(Content::Other);
    };
    if api_version == supported {
        return Ok(if is_list { Content::List(Some(kind)) } else { Content::One(kind) });
    }
    if !is_former_group(kind, &api_version) {
        return Ok(Content::Other);
    }
    let message = format!("apiVersion {api_version} of {name} is not supported; use {supported}");
    Err(Problem { line: node.line(), message })
}

/// Is it an older or newer version of the same kind, rather than another project's kind of the same name?
fn is_former_group(kind: Kind, api_version: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match kind {
        Kind::Ingress => matches!(group, "networking.k8s.io" | "extensions"),
        Kind::IngressClass => group == "networking.k8s.io",
        Kind::EndpointSlice => group == "discovery.k8s.io",
        Kind::Service | Kind::Secret | Kind::ConfigMap | Kind::Pod => group.is_empty(),
    }
}

fn object<T>(node: &Node<'_>, unknown: &mut Vec<String>, wrap: fn(Arc<T>) -> Object) -> Result<Object, Problem>
where
    T: DeserializeOwned + Metadata<Ty = ObjectMeta>,
{
    let parsed = node.parse(&mut |field| unknown.push(field));
    let mut object: T = parsed.map_err(|problem| unreadable(&problem, Some(T::KIND), node))?;
    let meta = object.metadata_mut();
    if meta.name.as_deref().unwrap_or_default().is_empty() {
        let message = format!("{} has no metadata.name; give it one", T::KIND);
        return Err(Problem { line: node.line(), message });
    }
    meta.managed_fields = None;
    if meta.namespace.as_deref().unwrap_or_default().is_empty() {
        meta.namespace = Some("default".to_owned());
    }
    Ok(wrap(Arc::new(object)))
}

/// A parser's problem as it is told: with the object's name, and without the value when that may be a Secret's.
fn unreadable(problem: &Problem, kind: Option<&str>, node: &Node<'_>) -> Problem {
    let is_secret = kind.map_or_else(|| node.may_be_secret(), |kind| kind == Secret::KIND);
    let what = if is_secret {
        "cannot be read; check this line's syntax and type, which are not shown because they may be secret".to_owned()
    } else {
        format!("cannot be read: {}", problem.message)
    };
    let message = match (kind, node.parse::<Named>(&mut |_| {})) {
        (Some(kind), Ok(Named { metadata: NamedMeta { name, namespace } })) => {
            let namespace = namespace.filter(|text| !text.is_empty()).unwrap_or_else(|| "default".to_owned());
            let object = if kind == IngressClass::KIND { name } else { format!("{namespace}/{name}") };
            format!("{kind} {object} {what}")
        }
        (Some(kind), Err(_)) => format!("{kind} {what}"),
        (None, _) => what,
    };
    Problem { line: problem.line, message }
}

/// What the API server does when it stores a Secret.
fn with_string_data(secret: Arc<Secret>) -> Arc<Secret> {
    let mut secret = Arc::unwrap_or_clone(secret);
    for (key, value) in secret.string_data.take().unwrap_or_default() {
        secret.data.get_or_insert_default().insert(key, k8s_openapi::ByteString(value.into_bytes()));
    }
    Arc::new(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingress(name: &str) -> String {
        format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n")
    }

    fn names(manifest: &Manifest) -> Vec<String> {
        manifest.objects.iter().map(|(line, object)| format!("{line} {}", object.reference())).collect()
    }

    fn problems(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(|problem| format!("{}: {}", problem.line, problem.message)).collect()
    }

    fn yaml(text: &str) -> Manifest {
        read(text, Format::Yaml)
    }

    /// The only problem of a document.
    fn broken(text: &str) -> String {
        let found = problems(&yaml(text).broken);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    #[test]
    fn every_document_of_a_file_counts() {
        let text = format!("# two\n{}---\n\n{}", ingress("a"), ingress("b"));
        assert_eq!(names(&yaml(&text)), ["2 Ingress default/a", "8 Ingress default/b"]);
    }

    #[test]
    fn a_broken_document_leaves_its_neighbours_alone() {
        for bad in ["kind: [", "a: b: c", "\tx: y", "kind: Ingress\nkind: Ingress", "&a [*b]", "\"open"] {
            let text = format!("{}---\n{bad}\n---\n{}", ingress("a"), ingress("b"));
            let manifest = yaml(&text);
            assert_eq!(manifest.objects.len(), 2, "{bad}");
            assert_eq!(manifest.broken.len(), 1, "{bad}: {:?}", manifest.broken);
            let lines = 5..=7 + bad.matches('\n').count();
            assert!(lines.contains(&manifest.broken[0].line), "{bad}: {:?}", manifest.broken);
        }
    }

    #[test]
    fn a_wrong_type_is_reported_with_its_line() {
        let text = format!("{}---\n{}spec:\n  rules: nonsense\n", ingress("a"), ingress("b"));
        let manifest = yaml(&text);
        assert_eq!(names(&manifest), ["1 Ingress default/a"]);
        assert_eq!(manifest.broken[0].line, 11, "{:?}", manifest.broken);
    }

    #[test]
    fn a_text_where_a_number_belongs_is_broken() {
        let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - port: eighty\n";
        let want = "7: Service default/a cannot be read: ";
        assert!(broken(text).starts_with(want) && broken(text).ends_with("; correct this line"), "{}", broken(text));
    }

    #[test]
    fn a_value_that_the_api_server_refuses_is_broken() {
        let text = format!("{}  annotations:\n    a: true\n", ingress("a"));
        let want = "6: Ingress default/a cannot be read: a text is needed but YAML reads this as another type; put it in quotes";
        assert_eq!(broken(&text), want);
    }

    #[test]
    fn numbers_and_names_of_ports_are_told_apart() {
        let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - {port: 80, targetPort: 8080}\n  - {port: 81, targetPort: http}\n";
        let manifest = yaml(text);
        let Object::Service(service) = &manifest.objects[0].1 else { panic!("{manifest:?}") };
        let targets: Vec<_> =
            service.spec.iter().flat_map(|s| s.ports.iter().flatten()).map(|p| p.target_port.clone()).collect();
        use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::{Int, String};
        assert_eq!(targets, [Some(Int(8080)), Some(String("http".to_owned()))]);
    }

    #[test]
    fn an_object_needs_a_name() {
        let text = "apiVersion: v1\nkind: Service\nmetadata:\n  generateName: a\n";
        assert_eq!(broken(text), "1: Service has no metadata.name; give it one");
    }

    #[test]
    fn what_is_no_object_is_broken() {
        let want = "is not a Kubernetes object: apiVersion is missing; add it or move the document away";
        assert_eq!(broken("a: 1\n"), format!("1: {want}"));
        assert!(broken("just a text\n").starts_with("1: "));
    }

    #[test]
    fn old_versions_name_the_supported_one() {
        let text = "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\n";
        let want = "1: apiVersion extensions/v1beta1 of Ingress is not supported; use networking.k8s.io/v1";
        assert_eq!(broken(text), want);
    }

    #[test]
    fn other_kinds_are_ignored() {
        for other in ["apps/v1\nkind: Deployment", "serving.knative.dev/v1\nkind: Service", "v1\nkind: PodList"] {
            let manifest = yaml(&format!("apiVersion: {other}\nmetadata: {{name: a}}\nitems: []\n"));
            assert!(manifest.objects.is_empty() && manifest.broken.is_empty(), "{other}: {manifest:?}");
        }
    }

    #[test]
    fn lists_are_read_item_by_item() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: a\n- apiVersion: v1\n  kind: Service\n  metadata: 7\n- apiVersion: v1\n  kind: Endpoints\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: c, namespace: d}\n";
        let manifest = yaml(text);
        assert_eq!(names(&manifest), ["4 Service default/a", "13 Secret d/c"]);
        assert_eq!(manifest.broken.len(), 1);
        assert_eq!(manifest.broken[0].line, 8, "{:?}", manifest.broken);
    }

    #[test]
    fn items_of_a_typed_list_need_no_kind() {
        let text = "apiVersion: networking.k8s.io/v1\nkind: IngressList\nitems:\n- metadata:\n    name: a\n";
        assert_eq!(names(&yaml(text)), ["4 Ingress default/a"]);
    }

    #[test]
    fn json_is_read_too() {
        let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"List\",\n\t\"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\"}}]\n}";
        assert_eq!(names(&read(text, Format::Json)), ["1 Service default/a"]);
        let manifest = read("{\n  \"kind\": }", Format::Json);
        assert_eq!(manifest.broken[0].line, 2, "{:?}", manifest.broken);
    }

    #[test]
    fn unknown_fields_are_warned_about_by_path() {
        let text = format!(
            "{}spec:\n  rules:\n  - http:\n      paths:\n      - pathtype: Exact\n        pathType: Exact\n        backend: {{}}\n",
            ingress("a")
        );
        let manifest = yaml(&text);
        assert_eq!(manifest.objects.len(), 1, "{:?}", manifest.broken);
        let want = "1: Ingress default/a has an unknown field spec.rules[0].http.paths[0].pathtype; check its spelling and place";
        assert_eq!(problems(&manifest.warnings), [want]);
    }

    #[test]
    fn a_class_has_no_namespace() {
        let text = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata:\n  name: a\n";
        assert_eq!(names(&yaml(text)), ["1 IngressClass a"]);
    }

    #[test]
    fn secrets_hold_decoded_and_plain_data() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\ndata:\n  a: aGk=\nstringData:\n  b: ho\n";
        let manifest = yaml(text);
        let Object::Secret(secret) = &manifest.objects[0].1 else { panic!("{manifest:?}") };
        let data = secret.data.as_ref().unwrap();
        assert_eq!((data["a"].0.as_slice(), data["b"].0.as_slice()), (&b"hi"[..], &b"ho"[..]));
        assert_eq!(secret.string_data, None);
    }

    #[test]
    fn a_broken_secret_does_not_show_its_values() {
        let key = "-----BEGIN PRIVATE KEY----- hunter2";
        let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\n";
        let item = format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {{\"name\": \"a\"}}, \"data\": \"{key}\"}}"
        );
        let nested = format!("apiVersion: v1\nkind: List\nitems:\n- {item}\n");
        let list = format!("apiVersion: v1\nkind: SecretList\nitems: '{key}'\n");
        let typed = format!("apiVersion: v1\nkind: SecretList\nitems:\n- metadata: {{name: a}}\n  data: '{key}'\n");
        let mut told = Vec::new();
        for text in [
            format!("{head}data: '{key}'\n"),
            format!("{head}data: {{tls.key: '{key}'}}\n"),
            format!("{head}data:\n  tls.key: {key}\n   {key}: |\n {key}\n"),
            format!("'{key}'\n"),
            nested,
            list,
            typed,
        ] {
            told.push(broken(&text));
        }
        for text in [
            item.clone(),
            format!("{{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{item}]}}"),
            format!("\"{key}\""),
        ] {
            told.extend(problems(&read(&text, Format::Json).broken));
        }
        assert_eq!(told.len(), 10);
        assert!(told.iter().all(|message| !message.contains("hunter2")), "{told:#?}");
        let want = "4: Secret b/a cannot be read; check this line's syntax and type, which are not shown because they may be secret";
        assert_eq!(told[0], want);
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
        for (name, before) in
            ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
        {
            text += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(", "));
        }
        text += "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
        assert_eq!(yaml(&text).broken.len(), 1);
        let deep = format!("a: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(yaml(&deep).broken.len(), 1);
        assert_eq!(read(&format!("{{\"a\": {}", "[".repeat(100_000)), Format::Json).broken.len(), 1);
    }

    #[test]
    fn ten_thousand_paths_are_read() {
        let path = "      - {path: /a, pathType: Exact, backend: {service: {name: s, port: {number: 80}}}}\n";
        let text = format!("{}spec:\n  rules:\n  - http:\n      paths:\n{}", ingress("a"), path.repeat(10_000));
        assert_eq!(names(&yaml(&text)), ["1 Ingress default/a"]);
    }
}
