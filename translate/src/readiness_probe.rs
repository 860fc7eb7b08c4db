//! Active checks as the readinessProbe of a Service's pods has them.
//!
//! A few pods stand for all: the first and the last of each owner by name. Pods of a ReplicaSet share a template, and those of a
//! StatefulSet are replaced from the last to the first, so these two differ for as long as any do.
use std::collections::BTreeMap;
use std::time::Duration;

use features::{ClusterSettings, HealthCheck, check_field, check_host, check_path};
use k8s_openapi::api::core::v1::{Container, GRPCAction, HTTPGetAction, Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::notes::Notes;
use crate::report::Severity;
use crate::snapshot::{Key, Snapshot};

/// The longest interval between checks, and the most passed or failed ones in a row.
const LONGEST: u64 = 3_600;
const MOST: u16 = 100;

/// The pods that stand for those of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Samples {
    /// With the UIDs that EndpointSlices name.
    pub(crate) pods: BTreeMap<Key, Option<String>>,
    /// There are endpoints that are no pods.
    strangers: bool,
}

/// Why a readinessProbe is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unused {
    /// It is not known yet, or there is nobody to check.
    Awaited,
    /// No pod can be read.
    Unreadable,
    /// The endpoints are no pods.
    NoPods,
    /// Pods have different ones.
    Differ,
    /// Pods have none.
    NoProbe,
    /// Only the kubelet can run it.
    Exec,
    /// It cannot be asked so.
    Unfit,
    /// Requests go to the Service's address.
    ClusterIp,
}

impl Samples {
    /// The pods among the ready endpoints of a Service that stand for the others.
    pub(crate) fn of(service: &Key, snapshot: &Snapshot) -> Self {
        let mut owners: BTreeMap<&str, [(&str, Option<&str>); 2]> = BTreeMap::new();
        let mut strangers = false;
        let rank = |name: &str| (name.len(), name.to_owned());
        for (_, slice) in snapshot.slices_of(service) {
            for endpoint in slice.endpoints.iter().flatten() {
                if endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(false)) {
                    continue;
                }
                let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
                let Some((name, uid)) = target.and_then(|pod| Some((pod.name.as_deref()?, pod.uid.as_deref()))) else {
                    strangers = true;
                    continue;
                };
                let owner = name.rsplit_once('-').map_or(name, |(owner, _)| owner);
                let [first, last] = owners.entry(owner).or_insert([(name, uid); 2]);
                if rank(name) < rank(first.0) {
                    *first = (name, uid);
                } else if rank(name) > rank(last.0) {
                    *last = (name, uid);
                }
            }
        }
        let pods = owners.into_values().flatten();
        let pods = pods.map(|(name, uid)| (Key::new(&service.namespace, name), uid.map(str::to_owned))).collect();
        Self { pods, strangers }
    }

    /// Those that are not known.
    pub(crate) fn missing<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Key> {
        self.pods.iter().filter(|(pod, uid)| known(snapshot, pod, uid.as_deref()).is_none()).map(|(pod, _)| pod)
    }

    /// The check of the port that `target` is. Those that are known speak for the others.
    pub(crate) fn probe(&self, snapshot: &Snapshot, target: Option<&IntOrString>) -> Result<ClusterSettings, Unused> {
        let mut probes =
            self.pods.iter().filter_map(|(pod, uid)| known(snapshot, pod, uid.as_deref())).map(|pod| read(pod, target));
        let Some(first) = probes.next() else { return Err(self.unknown(snapshot)) };
        if probes.any(|other| other != first) { Err(Unused::Differ) } else { first }
    }

    fn unknown(&self, snapshot: &Snapshot) -> Unused {
        match self.pods.keys().next() {
            Some(pod) if snapshot.awaits_pods_of(&pod.namespace) => Unused::Awaited,
            Some(_) => Unused::Unreadable,
            None if self.strangers => Unused::NoPods,
            None => Unused::Awaited,
        }
    }
}

/// A pod as it is known, unless an EndpointSlice tells of a later one of the same name.
fn known<'a>(snapshot: &'a Snapshot, pod: &Key, uid: Option<&str>) -> Option<&'a Pod> {
    let pod = snapshot.get_pod(pod)?;
    let same = uid.zip(pod.metadata.uid.as_deref()).is_none_or(|(told, known)| told == known);
    same.then_some(pod)
}

impl Unused {
    /// Tells why there is no active check.
    pub(crate) fn note(self, by_default: bool, notes: &mut Notes) {
        let because = match self {
            Self::Awaited => return,
            Self::Unreadable => {
                "none of its pods can be read for a readinessProbe, so there is no active check; let the gateway get pods \
                 (controller.healthCheck.readinessProbe of the chart), add them to the manifests, or choose another health-check"
            }
            Self::NoPods => {
                "its endpoints are no pods and have no readinessProbe, so there is no active check; choose another health-check"
            }
            Self::Differ => {
                "its pods have different readinessProbes, so there is no active check; give all of them the same"
            }
            Self::NoProbe => {
                "its pods have no readinessProbe, so there is no active check; add one or choose another health-check"
            }
            Self::Exec => {
                "the readinessProbe of its pods is a command, which only the kubelet can run, so there is no active check; \
                 choose another health-check, such as tcp"
            }
            Self::Unfit => {
                "the readinessProbe of its pods names a port, a path or a host that cannot be asked, so there is no active \
                 check; correct it or choose another health-check"
            }
            Self::ClusterIp => {
                "requests go to the Service's address and not to pods with a readinessProbe, so there is no active check; \
                 choose another health-check"
            }
        };
        // Whoever asks for all Services at once cannot mean each; and pods differ whenever they are replaced.
        let severity = if by_default || self == Self::Differ { Severity::Info } else { Severity::Warning };
        notes.add(severity, "ReadinessProbeUnused", "metadata.annotations".to_owned(), because.to_owned());
    }
}

/// The readinessProbe of the container that serves a port, else of the first one that has any.
fn read(pod: &Pod, target: Option<&IntOrString>) -> Result<ClusterSettings, Unused> {
    let containers = pod.spec.as_ref().map_or(&[][..], |spec| &spec.containers);
    let probed = || containers.iter().filter_map(|container| Some((container, container.readiness_probe.as_ref()?)));
    let serves = |container: &Container| {
        container.ports.iter().flatten().any(|port| match target {
            Some(IntOrString::Int(number)) => port.container_port == *number,
            Some(IntOrString::String(name)) => port.name.as_ref() == Some(name),
            None => false,
        })
    };
    let chosen = probed().find(|(container, _)| serves(container)).or_else(|| probed().next());
    let (container, probe) = chosen.ok_or(Unused::NoProbe)?;
    let what = if let Some(get) = &probe.http_get {
        http(container, get)
    } else if let Some(socket) = &probe.tcp_socket {
        port(container, &socket.port).map(|port| check(HealthCheck::Tcp, port))
    } else if let Some(call) = &probe.grpc {
        grpc(call)
    } else {
        return Err(if probe.exec.is_some() { Unused::Exec } else { Unused::NoProbe });
    };
    Ok(timed(probe, what.ok_or(Unused::Unfit)?))
}

fn check(check: HealthCheck, port: u16) -> ClusterSettings {
    ClusterSettings { check: Some(check), port: Some(port), ..ClusterSettings::default() }
}

fn http(container: &Container, get: &HTTPGetAction) -> Option<ClusterSettings> {
    let tls = get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let path = get.path.as_deref().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let fields = || get.http_headers.iter().flatten();
    let named = fields().find(|field| field.name.eq_ignore_ascii_case("host")).map(|field| &*field.value);
    let named = named.or(get.host.as_deref()).filter(|host| !host.is_empty());
    Some(ClusterSettings {
        path: Some(check_path(&format!("{slash}{path}")).ok()?),
        host: named.map(check_host).transpose().ok()?,
        headers: Some(fields().filter_map(|field| check_field(&field.name, &field.value)).collect()),
        statuses: Some([(200, 399)].into()),
        ..check(HealthCheck::Http { http2: false, tls }, port(container, &get.port)?)
    })
}

fn grpc(call: &GRPCAction) -> Option<ClusterSettings> {
    let service = check_host(call.service.as_deref().unwrap_or_default()).ok()?;
    Some(ClusterSettings { service: Some(service), ..check(HealthCheck::Grpc { tls: false }, number(call.port)?) })
}

/// A port by number, or by its name among the container's.
fn port(container: &Container, port: &IntOrString) -> Option<u16> {
    match port {
        IntOrString::Int(port) => number(*port),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
            named.map_or_else(|| name.parse().ok(), |port| number(port.container_port))
        }
    }
}

fn number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port > 0)
}

/// With the times and counts of the probe, or Kubernetes' defaults for them.
fn timed(probe: &Probe, settings: ClusterSettings) -> ClusterSettings {
    let seconds = |number: Option<i32>, default: u64| {
        let number = number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
        Duration::from_secs(number.unwrap_or(default).min(LONGEST))
    };
    let count = |number: Option<i32>, default: u16| {
        let number = number.filter(|number| *number > 0).map(|number| u16::try_from(number).unwrap_or(MOST));
        number.unwrap_or(default).min(MOST)
    };
    let interval = seconds(probe.period_seconds, 10);
    ClusterSettings {
        interval: Some(interval),
        timeout: Some(seconds(probe.timeout_seconds, 1).min(interval)),
        rise: Some(count(probe.success_threshold, 1)),
        fall: Some(count(probe.failure_threshold, 3)),
        ..settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Change, Object};
    use crate::snapshot::Dirty;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn pod(containers: &Value) -> Pod {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": "web-a-1", "uid": "1"},
            "spec": {"containers": containers},
        }))
        .unwrap()
    }

    fn reading(probe: &Value) -> Result<ClusterSettings, Unused> {
        let ports = json!([{"name": "http", "containerPort": 8080}, {"name": "health", "containerPort": 9000}]);
        read(&pod(&json!([{"name": "web", "ports": ports, "readinessProbe": probe}])), None)
    }

    #[test]
    fn an_http_probe_has_all_details() {
        let settings = reading(&json!({
            "httpGet": {"path": "up?full", "port": "health", "scheme": "HTTPS", "httpHeaders": [
                {"name": "host", "value": "shop.example.com"}, {"name": "X-Probe", "value": "1"}, {"name": "Connection", "value": "x"},
            ]},
            "periodSeconds": 5, "timeoutSeconds": 20, "successThreshold": 2, "failureThreshold": 1000,
        }))
        .unwrap();
        assert_eq!(settings.check, Some(HealthCheck::Http { http2: false, tls: true }));
        assert_eq!((settings.path.as_deref(), settings.host.as_deref()), (Some("/up?full"), Some("shop.example.com")));
        assert_eq!((settings.port, settings.rise, settings.fall), (Some(9000), Some(2), Some(100)));
        assert_eq!((settings.interval, settings.timeout), (Some(Duration::from_secs(5)), Some(Duration::from_secs(5))));
        assert_eq!(settings.headers.unwrap()[..], [check_field("X-Probe", "1").unwrap()]);
    }

    #[test]
    fn what_a_probe_leaves_open_is_as_kubernetes_has_it() {
        let settings = reading(&json!({"tcpSocket": {"port": 8080}})).unwrap();
        assert_eq!((settings.check, settings.port), (Some(HealthCheck::Tcp), Some(8080)));
        assert_eq!(
            (settings.interval, settings.timeout),
            (Some(Duration::from_secs(10)), Some(Duration::from_secs(1)))
        );
        assert_eq!((settings.rise, settings.fall), (Some(1), Some(3)));
        let grpc = reading(&json!({"grpc": {"port": 7000, "service": "shop.Cart"}})).unwrap();
        assert_eq!((grpc.check, grpc.service.as_deref()), (Some(HealthCheck::Grpc { tls: false }), Some("shop.Cart")));
    }

    #[test]
    fn what_cannot_be_asked_is_not_used() {
        for (probe, why) in [
            (json!({"exec": {"command": ["true"]}}), Unused::Exec),
            (json!({}), Unused::NoProbe),
            (json!({"tcpSocket": {"port": "unknown"}}), Unused::Unfit),
            (json!({"tcpSocket": {"port": 0}}), Unused::Unfit),
            (json!({"httpGet": {"port": 80, "path": "/a b"}}), Unused::Unfit),
            (json!({"httpGet": {"port": 80, "host": "a b"}}), Unused::Unfit),
            (json!({"grpc": {"port": 70_000}}), Unused::Unfit),
        ] {
            assert_eq!(reading(&probe).unwrap_err(), why, "{probe}");
        }
        assert_eq!(read(&pod(&json!([{"name": "web"}])), None).unwrap_err(), Unused::NoProbe);
    }

    #[test]
    fn the_container_that_serves_the_port_is_asked() {
        let container = |name: &str, port: u16| {
            let probe = json!({"tcpSocket": {"port": port}});
            json!({"name": name, "ports": [{"name": name, "containerPort": port}], "readinessProbe": probe})
        };
        let pod = pod(&json!([{"name": "none"}, container("proxy", 1), container("web", 2)]));
        let asked = |target| read(&pod, Some(&target)).unwrap().port;
        assert_eq!(asked(IntOrString::Int(2)), Some(2));
        assert_eq!(asked(IntOrString::String("web".to_owned())), Some(2));
        assert_eq!(asked(IntOrString::Int(3)), Some(1));
    }

    fn snapshot(pods: &[(&str, &str)]) -> Snapshot {
        let endpoint = |(name, uid): &(&str, &str)| json!({"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": name, "uid": uid}});
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"namespace": "ns", "name": "web", "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(), "ports": [{"port": 1}],
        });
        let mut snapshot = Snapshot::default();
        let slice = Object::EndpointSlice(Arc::new(serde_json::from_value(slice).unwrap()));
        snapshot.apply(Change::Set(slice), &mut Dirty::default());
        snapshot
    }

    #[test]
    fn the_first_and_the_last_pod_of_each_owner_stand_for_the_others() {
        let pods = ["db-9", "db-10", "db-0", "web-a-x", "web-a-y", "web-a-z", "web-b-x"].map(|name| (name, "1"));
        let samples = Samples::of(&Key::new("ns", "web"), &snapshot(&pods));
        let names: Vec<_> = samples.pods.keys().map(|pod| &*pod.name).collect();
        assert_eq!(names, ["db-0", "db-10", "web-a-x", "web-a-z", "web-b-x"]);
    }

    #[test]
    fn a_later_pod_of_the_same_name_is_another_one() {
        let mut snapshot = snapshot(&[("web-a-1", "2")]);
        let samples = Samples::of(&Key::new("ns", "web"), &snapshot);
        let mut pod = pod(&json!([{"name": "web", "readinessProbe": {"tcpSocket": {"port": 1}}}]));
        for (uid, is_known) in [("1", false), ("2", true)] {
            pod.metadata.uid = Some(uid.to_owned());
            snapshot.apply(Change::Set(Object::Pod(Arc::new(pod.clone()))), &mut Dirty::default());
            assert_eq!(samples.probe(&snapshot, None).is_ok(), is_known);
            assert_eq!(samples.missing(&snapshot).count(), usize::from(!is_known));
        }
    }

    #[test]
    fn pods_that_come_later_are_no_news_until_they_may_not_be_read() {
        let mut snapshot = snapshot(&[("web-a-1", "1")]);
        let samples = Samples::of(&Key::new("ns", "web"), &snapshot);
        assert_eq!(samples.probe(&snapshot, None).unwrap_err(), Unused::Unreadable);
        snapshot.asks_for_pods = true;
        assert_eq!(samples.probe(&snapshot, None).unwrap_err(), Unused::Awaited);
        let refused = Change::Delete(Key::new("ns", "web-a-1").reference(crate::object::Kind::Pod));
        snapshot.apply(refused, &mut Dirty::default());
        assert_eq!(samples.probe(&snapshot, None).unwrap_err(), Unused::Unreadable);
        let pod = pod(&json!([{"name": "web"}]));
        snapshot.apply(Change::Set(Object::Pod(Arc::new(pod))), &mut Dirty::default());
        assert_eq!(samples.probe(&snapshot, None).unwrap_err(), Unused::NoProbe);
        assert!(snapshot.awaits_pods_of("ns"));
    }
}
