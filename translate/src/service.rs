//! A Service and a port of it: which cluster, which protocol, and where the endpoints come from.
use std::net::IpAddr;
use std::sync::Arc;

use features::{Balance, Protocol, ServiceSettings};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::networking::v1::IngressServiceBackend;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use table::{HostPattern, ServicePort as ClusterPort, Transport};

use crate::annotations::OWN;
use crate::endpoint_slice;
use crate::text::Quoted;
use crate::translator::ExternalName;

/// What an Ingress means by the name and port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) protocol: Protocol,
    /// How the Service wants its endpoints to be chosen.
    pub(crate) balance: Option<Balance>,
}

/// Why a backend cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The field at fault, below the backend.
    pub(crate) field: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// What the rule says in logs and explanations.
    pub(crate) answer: &'static str,
}

/// Where the endpoints of a cluster come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// EndpointSlices, from the port of this name; empty for the unnamed port.
    Slices(Arc<str>),
    /// A resolver.
    External(ExternalName),
}

/// Finds the port that an Ingress names.
pub(crate) fn port(
    key: &str,
    service: Option<&Service>,
    backend: &IngressServiceBackend,
    refuses_external: bool,
) -> Result<Port, Refusal> {
    let Some(service) = service else {
        let message = format!("Service {} does not exist; create it or correct the name", Quoted(key));
        return Err(Refusal {
            field: ".service.name",
            reason: "ServiceMissing",
            message,
            answer: features::NO_SERVICE,
        });
    };
    let wanted = Wanted::read(key, backend)?;
    let external = external(service);
    if external.is_some() && refuses_external {
        let message = format!(
            "Service {} is of type ExternalName, which --disable-svc-external-name refuses; use a Service with endpoints",
            Quoted(key)
        );
        let answer = "Services of type ExternalName are refused";
        return Err(Refusal { field: ".service.name", reason: "ExternalNameRefused", message, answer });
    }
    if let Some(Err(complaint)) = external.map(external_host) {
        let message = format!("Service {} is of type ExternalName and its spec.externalName {complaint}", Quoted(key));
        let answer = "the external name of the Service is not allowed";
        return Err(Refusal { field: ".service.name", reason: "ExternalNameRefused", message, answer });
    }
    let found = ports(service).find(|port| match wanted {
        Wanted::Number(number) => port.port == i32::from(number),
        Wanted::Name(name) => port.name.as_deref() == Some(name),
    });
    match (found, wanted, external) {
        (Some(found), _, _) => match u16::try_from(found.port) {
            Ok(number @ 1..) => {
                Ok(Port { number, protocol: protocol(found).unwrap_or_default(), balance: settings(service).balance })
            }
            _ => Err(out_of_range(&format!("port {} of Service {}", found.port, Quoted(key)))),
        },
        // The DNS name has whatever ports it has: an ExternalName Service need not list them.
        (None, Wanted::Number(number), Some(_)) => {
            Ok(Port { number, protocol: Protocol::Http, balance: settings(service).balance })
        }
        (None, _, _) => Err(missing_port(key, service, wanted)),
    }
}

/// The port of a TCP or UDP service, by number or name, as clusters are named.
///
/// # Errors
/// Why there is none, as a clause with the remedy.
pub(crate) fn stream_port(
    key: &str,
    service: Option<&Service>,
    wanted: &str,
    transport: Transport,
    refuses_external: bool,
) -> Result<ClusterPort, String> {
    let service = service.ok_or_else(|| format!("Service {} does not exist; create it", Quoted(key)))?;
    let number = wanted.parse::<u16>().ok().filter(|number| *number > 0);
    let fits = |port: &&ServicePort| match number {
        Some(number) => port.port == i32::from(number),
        None => port.name.as_deref() == Some(wanted),
    };
    let found = ports_of(service, transport).find(fits).and_then(|port| u16::try_from(port.port).ok());
    // The DNS name has whatever ports it has: an ExternalName Service need not list them.
    let external =
        || number.filter(|_| !refuses_external && external(service).is_some_and(|name| external_host(name).is_ok()));
    let missing = || format!("Service {} has no {transport} port {}; add one", Quoted(key), Quoted(wanted));
    let port = found.or_else(external).ok_or_else(missing)?;
    Ok(match transport {
        Transport::Tcp => ClusterPort::Number(port),
        Transport::Udp => ClusterPort::Udp(port),
    })
}

/// The first port, for a default backend.
pub(crate) fn first_port(service: &Service) -> Option<Port> {
    ports(service).find_map(|port| match u16::try_from(port.port) {
        Ok(number @ 1..) => {
            Some(Port { number, protocol: protocol(port).unwrap_or_default(), balance: settings(service).balance })
        }
        _ => None,
    })
}

/// Where the endpoints of a port come from.
pub(crate) fn source(service: Option<&Service>, number: u16, transport: Transport, refuses_external: bool) -> Source {
    let external = service.filter(|_| !refuses_external).and_then(external);
    match external.and_then(|name| external_host(name).ok()) {
        Some(host) => Source::External(ExternalName { host, port: number }),
        None => {
            let port =
                service.and_then(|service| ports_of(service, transport).find(|port| port.port == i32::from(number)));
            Source::Slices(port.and_then(|port| port.name.as_deref()).unwrap_or_default().into())
        }
    }
}

/// The port of pods that a port of the Service leads to, as a number or a name.
pub(crate) fn target(service: &Service, number: u16, transport: Transport) -> IntOrString {
    let port = ports_of(service, transport).find(|port| port.port == i32::from(number));
    port.and_then(|port| port.target_port.clone()).unwrap_or(IntOrString::Int(number.into()))
}

/// The `appProtocol` of a port that is not understood.
pub(crate) fn unknown_protocol(service: &Service, number: u16) -> Option<&str> {
    let port = ports(service).find(|port| port.port == i32::from(number))?;
    protocol(port).is_none().then_some(port.app_protocol.as_deref()).flatten()
}

/// What the annotations of a Service say.
pub(crate) fn settings(service: &Service) -> ServiceSettings {
    features::read_service(own_annotations(&service.metadata))
}

/// The annotations below our own prefix; all others belong to others.
pub(crate) fn own_annotations(meta: &ObjectMeta) -> impl Iterator<Item = (&str, &str)> {
    let all = meta.annotations.iter().flatten().map(|(name, value)| (&**name, &**value));
    all.filter(|(name, _)| name.starts_with(OWN))
}

/// The address that stands for the endpoints, unless the Service is headless.
pub(crate) fn cluster_ip(service: &Service) -> Option<IpAddr> {
    service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok().and_then(|ip| endpoint_slice::usable(ip).ok())
}

/// The ports that HTTP can use: UDP and SCTP ones may have the same number as a TCP one.
fn ports(service: &Service) -> impl Iterator<Item = &ServicePort> {
    ports_of(service, Transport::Tcp)
}

/// The ports of a transport.
fn ports_of(service: &Service, transport: Transport) -> impl Iterator<Item = &ServicePort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    ports.filter(move |port| is_of(port.protocol.as_deref(), transport))
}

/// Does Kubernetes' name of a protocol mean this transport?
pub(crate) fn is_of(protocol: Option<&str>, transport: Transport) -> bool {
    match transport {
        Transport::Tcp => matches!(protocol, None | Some("TCP" | "")),
        Transport::Udp => protocol == Some("UDP"),
    }
}

/// KEP-3726 defines the `kubernetes.io/` values; the bare ones are IANA service names and what other gateways read.
fn protocol(port: &ServicePort) -> Option<Protocol> {
    match port.app_protocol.as_deref().unwrap_or_default() {
        "" | "http" | "HTTP" | "kubernetes.io/ws" | "ws" => Some(Protocol::Http),
        "https" | "HTTPS" | "kubernetes.io/wss" | "wss" => Some(Protocol::Https),
        "kubernetes.io/h2c" | "h2c" | "grpc" | "GRPC" => Some(Protocol::H2c),
        "h2" | "http2" | "grpcs" | "GRPCS" => Some(Protocol::H2),
        _ => None,
    }
}

fn external(service: &Service) -> Option<&str> {
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("ExternalName"))?;
    Some(spec.external_name.as_deref().unwrap_or_default())
}

/// A DNS name that is safe to resolve. Which addresses it may resolve to, the resolver decides.
fn external_host(text: &str) -> Result<Arc<str>, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let host = match HostPattern::parse(name) {
        Ok(HostPattern::Exact(host)) => host,
        Ok(_) | Err(_) => return Err("is not a DNS name; give the name of a host outside the cluster"),
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    // Resolvers read such names as IPv4 addresses: 127.1, 0x7f000001.
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Err("is an IP address; use a Service without selector and an EndpointSlice instead");
    }
    let local = ["localhost", "localdomain"].contains(&last)
        || ["ip6-localhost", "ip6-loopback", "localhost4", "localhost6"].contains(&&*host);
    if local {
        return Err("names the gateway's own host; give the name of a host outside the cluster");
    }
    Ok(host)
}

#[derive(Clone, Copy)]
enum Wanted<'a> {
    Number(u16),
    Name(&'a str),
}

impl<'a> Wanted<'a> {
    fn read(key: &str, backend: &'a IngressServiceBackend) -> Result<Self, Refusal> {
        let port = backend.port.as_ref();
        let number = port.and_then(|port| port.number).filter(|number| *number != 0);
        let name = port.and_then(|port| port.name.as_deref()).filter(|name| !name.is_empty());
        match (number.map(u16::try_from), name) {
            (Some(Ok(number @ 1..)), _) => Ok(Self::Number(number)),
            (Some(_), _) => Err(out_of_range(&format!("port {}", number.unwrap_or_default()))),
            (None, Some(name)) => Ok(Self::Name(name)),
            (None, None) => Err(Refusal {
                field: ".service.port",
                reason: "PortMissing",
                message: format!("the backend names no port of Service {}; set its number or name", Quoted(key)),
                answer: "the backend names no port",
            }),
        }
    }
}

fn out_of_range(what: &str) -> Refusal {
    let message = format!("{what} is not between 1 and 65535; correct it");
    Refusal { field: ".service.port", reason: "PortInvalid", message, answer: "the port is not between 1 and 65535" }
}

fn missing_port(key: &str, service: &Service, wanted: Wanted<'_>) -> Refusal {
    let wanted = match wanted {
        Wanted::Number(number) => number.to_string(),
        Wanted::Name(name) => Quoted(name).to_string(),
    };
    let mut has: Vec<String> = ports(service)
        .take(10)
        .map(|port| match port.name.as_deref() {
            Some(name) if !name.is_empty() => format!("{} ({})", port.port, Quoted(name)),
            _ => port.port.to_string(),
        })
        .collect();
    if has.is_empty() {
        has.push("none".to_owned());
    }
    let message = format!("Service {} has no TCP port {wanted}; it has {}", Quoted(key), has.join(", "));
    Refusal { field: ".service.port", reason: "PortMissing", message, answer: "the Service does not have the port" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(spec: &Value) -> Service {
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc"}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    fn find(service: &Service, wanted: &Value) -> Result<Port, &'static str> {
        let backend = serde_json::from_value(json!({"name": "svc", "port": wanted})).unwrap();
        port("ns/svc", Some(service), &backend, false).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn name_and_number_are_the_same_port() {
        let service = service(&json!({"ports": [{"port": 80, "name": "http"}, {"port": 81, "appProtocol": "h2c"}]}));
        assert_eq!(find(&service, &json!({"name": "http"})), find(&service, &json!({"number": 80})));
        let h2c = Port { number: 81, protocol: Protocol::H2c, balance: None };
        assert_eq!(find(&service, &json!({"number": 81})), Ok(h2c));
        for wanted in [json!({"number": 82}), json!({"name": "x"}), json!({}), json!({"number": 0})] {
            assert_eq!(find(&service, &wanted), Err("PortMissing"), "{wanted}");
        }
        for wanted in [json!({"number": -1}), json!({"number": 65536})] {
            assert_eq!(find(&service, &wanted), Err("PortInvalid"), "{wanted}");
        }
    }

    #[test]
    fn udp_ports_do_not_count() {
        let service = service(
            &json!({"ports": [{"port": 53, "protocol": "UDP", "name": "u"}, {"port": 53, "protocol": "TCP", "name": "t"}]}),
        );
        assert_eq!(source(Some(&service), 53, Transport::Tcp, false), Source::Slices("t".into()));
        assert_eq!(find(&service, &json!({"name": "u"})), Err("PortMissing"));
    }

    #[test]
    fn app_protocols_are_read_as_the_kep_says() {
        for (text, want) in [
            ("kubernetes.io/h2c", Some(Protocol::H2c)),
            ("kubernetes.io/wss", Some(Protocol::Https)),
            ("kubernetes.io/ws", Some(Protocol::Http)),
            ("grpcs", Some(Protocol::H2)),
            ("mongo", None),
        ] {
            let service = service(&json!({"ports": [{"port": 80, "appProtocol": text}]}));
            assert_eq!(protocol(ports(&service).next().unwrap()), want, "{text}");
            assert_eq!(unknown_protocol(&service, 80).is_some(), want.is_none());
        }
    }

    #[test]
    fn an_external_name_is_resolved_elsewhere() {
        let service = service(
            &json!({"type": "ExternalName", "externalName": "API.example.com.", "ports": [{"port": 443, "name": "s", "appProtocol": "https"}]}),
        );
        let want = Port { number: 443, protocol: Protocol::Https, balance: None };
        assert_eq!(find(&service, &json!({"name": "s"})), Ok(want));
        assert_eq!(
            find(&service, &json!({"number": 8080})),
            Ok(Port { number: 8080, protocol: Protocol::Http, balance: None })
        );
        assert_eq!(find(&service, &json!({"name": "x"})), Err("PortMissing"));
        let name = ExternalName { host: "api.example.com".into(), port: 443 };
        assert_eq!(source(Some(&service), 443, Transport::Tcp, false), Source::External(name));
        assert_eq!(source(Some(&service), 443, Transport::Tcp, true), Source::Slices("s".into()));
        let backend = serde_json::from_value(json!({"name": "svc", "port": {"number": 443}})).unwrap();
        assert_eq!(
            port("ns/svc", Some(&service), &backend, true).err().map(|it| it.reason),
            Some("ExternalNameRefused")
        );
    }

    #[test]
    fn external_names_that_may_mean_this_host_are_refused() {
        for text in [
            "",
            "localhost",
            "a.LOCALHOST",
            "localhost.localdomain",
            "127.0.0.1",
            "127.1",
            "0x7f.0x1",
            "169.254.169.254",
            "::1",
            "*.a.com",
            "a b",
        ] {
            let service = service(&json!({"type": "ExternalName", "externalName": text}));
            assert_eq!(find(&service, &json!({"number": 80})), Err("ExternalNameRefused"), "{text}");
        }
    }
}
