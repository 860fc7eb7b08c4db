//! The backends of one Ingress, each looked up once.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::{Balance, Protocol};
use k8s_openapi::api::networking::v1::{IngressBackend, IngressServiceBackend};
use table::{ClusterId, ServicePort};

use crate::dependents::Dependency;
use crate::ingress::Place;
use crate::notes::Notes;
use crate::service::{self, Refusal};
use crate::snapshot::{Key, Snapshot};
use crate::text::Quoted;

/// What a backend means.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// For labels.
    pub(crate) service: Arc<str>,
    /// For labels.
    pub(crate) port: Arc<str>,
    pub(crate) protocol: Protocol,
    /// What the Service asks for.
    pub(crate) balance: Option<Balance>,
    /// The cluster, or what a rule answers instead.
    pub(crate) cluster: Result<ClusterId, &'static str>,
}

/// A lookup with what is to be noted wherever it is used.
#[derive(Debug)]
struct Found {
    target: Target,
    refusal: Option<Refusal>,
    unknown_protocol: Option<String>,
}

type Question<'a> = (&'a str, Option<i32>, Option<&'a str>);

/// The lookups of one Ingress.
#[derive(Debug)]
pub(crate) struct Backends<'a> {
    snapshot: &'a Snapshot,
    namespace: &'a Arc<str>,
    found: BTreeMap<Question<'a>, Found>,
    pub(crate) dependencies: BTreeSet<Dependency>,
}

impl<'a> Backends<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, namespace: &'a Arc<str>) -> Self {
        Self { snapshot, namespace, found: BTreeMap::new(), dependencies: BTreeSet::new() }
    }

    /// What the backend at a place means.
    pub(crate) fn resolve(&mut self, backend: &'a IngressBackend, place: Place, notes: &mut Notes) -> Target {
        let Some(wanted) = &backend.service else {
            let (field, what) = match backend.resource {
                Some(_) => (".resource", "resource backends are not supported and answer 503; name a Service"),
                None => ("", "the backend names no Service and answers 503; name one"),
            };
            notes.error("BackendInvalid", format!("{}{field}", place.backend()), what.to_owned());
            return refused("", "", "the backend is not a Service");
        };
        let port = wanted.port.as_ref();
        let question = (&*wanted.name, port.and_then(|port| port.number), port.and_then(|port| port.name.as_deref()));
        let (snapshot, namespace, dependencies) = (self.snapshot, self.namespace, &mut self.dependencies);
        let found = self.found.entry(question).or_insert_with(|| {
            let key = Key { namespace: namespace.clone(), name: wanted.name.as_str().into() };
            let found = look_up(snapshot, &key, wanted);
            dependencies.insert(Dependency::Service(key));
            if let Some(text) = &found.unknown_protocol {
                let message = format!(
                    "appProtocol {} of port {} of Service {} is not known and HTTP/1.1 is spoken; use http, \
                     https, kubernetes.io/h2c, grpc or grpcs",
                    Quoted(text),
                    found.target.port,
                    Quoted(&found.target.service)
                );
                notes.info("ProtocolUnknown", format!("{}.service.port", place.backend()), message);
            }
            found
        });
        if let Some(refusal) = &found.refusal {
            let message = format!("{}; until then the answer is 503", refusal.message);
            notes.error(refusal.reason, format!("{}{}", place.backend(), refusal.field), message);
        }
        found.target.clone()
    }
}

fn look_up(snapshot: &Snapshot, key: &Key, wanted: &IngressServiceBackend) -> Found {
    let object = snapshot.get_service(key);
    match service::port(&key.to_string(), object.map(|service| &**service), wanted, snapshot.refuses_external_names) {
        Ok(port) => {
            let unknown = object.and_then(|service| service::unknown_protocol(service, port.number)).map(str::to_owned);
            Found { target: target(key, port), refusal: None, unknown_protocol: unknown }
        }
        Err(refusal) => {
            let port = wanted.port.as_ref();
            let number = port.and_then(|port| port.number).map(|number| number.to_string());
            let port = number.or_else(|| port?.name.clone()).unwrap_or_default();
            let target = refused(&key.name, &port, refusal.answer);
            Found { target, refusal: Some(refusal), unknown_protocol: None }
        }
    }
}

/// The target of a port that exists.
pub(crate) fn target(key: &Key, port: service::Port) -> Target {
    let cluster = ClusterId::new(&key.namespace, &key.name, ServicePort::Number(port.number));
    Target {
        service: cluster.service().clone(),
        port: port.number.to_string().into(),
        protocol: port.protocol,
        balance: port.balance,
        cluster: Ok(cluster),
    }
}

fn refused(service: &str, port: &str, answer: &'static str) -> Target {
    Target { service: service.into(), port: port.into(), protocol: Protocol::Http, balance: None, cluster: Err(answer) }
}
