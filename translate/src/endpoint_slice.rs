//! EndpointSlices to endpoints.
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint as SliceEndpoint, EndpointConditions, EndpointSlice};
use table::{Endpoint, Readiness, Transport};

use crate::notes::Notes;
use crate::service::is_of;
use crate::text::Quoted;

/// The annotation of an EndpointSlice that sets the weight of its endpoints.
const WEIGHT: &str = "ingora.io/weight";

/// The addresses of one EndpointSlice; its ports are chosen by whoever asks.
#[derive(Debug)]
pub(crate) struct Addresses<'a> {
    slice: &'a EndpointSlice,
    weight: u16,
    list: Vec<Address>,
}

#[derive(Debug)]
struct Address {
    ip: IpAddr,
    readiness: Readiness,
    zone: Option<Arc<str>>,
    for_zones: Arc<[Arc<str>]>,
}

/// Zone names while slices are read, each once.
#[derive(Debug)]
pub(crate) struct Zones {
    names: BTreeSet<Arc<str>>,
    none: Arc<[Arc<str>]>,
    last: Arc<[Arc<str>]>,
}

impl Default for Zones {
    fn default() -> Self {
        let none: Arc<[Arc<str>]> = [].into();
        Self { names: BTreeSet::new(), last: none.clone(), none }
    }
}

impl Zones {
    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name: Arc<str> = text.into();
        self.names.insert(name.clone());
        name
    }

    /// Neighbours mostly have the same hints.
    fn hints(&mut self, endpoint: &SliceEndpoint) -> Arc<[Arc<str>]> {
        let Some(zones) = endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_ref()) else {
            return self.none.clone();
        };
        if !zones.iter().map(|zone| &*zone.name).eq(self.last.iter().map(|name| &**name)) {
            self.last = zones.iter().map(|zone| self.name(&zone.name)).collect();
        }
        self.last.clone()
    }
}

/// Reads the addresses of a slice that may get requests.
pub(crate) fn read<'a>(slice: &'a EndpointSlice, zones: &mut Zones, notes: &mut Notes) -> Addresses<'a> {
    let mut list = Vec::new();
    let weight = weight(slice, notes);
    let parse = match &*slice.address_type {
        "IPv4" => parse_ipv4,
        "IPv6" => parse_ipv6,
        other => {
            let message = format!(
                "address type {} is not supported and its endpoints are ignored; use IPv4 or IPv6",
                Quoted(other)
            );
            notes.info("AddressTypeIgnored", "addressType".to_owned(), message);
            return Addresses { slice, weight, list };
        }
    };
    for (index, endpoint) in slice.endpoints.iter().flatten().enumerate() {
        let Some(readiness) = readiness(endpoint.conditions.as_ref()) else { continue };
        let zone = endpoint.zone.as_deref().filter(|zone| !zone.is_empty()).map(|zone| zones.name(zone));
        let for_zones = zones.hints(endpoint);
        for (position, text) in endpoint.addresses.iter().enumerate() {
            match parse(text).ok_or("is not an address of the slice's addressType").and_then(usable) {
                Ok(ip) => list.push(Address { ip, readiness, zone: zone.clone(), for_zones: for_zones.clone() }),
                Err(complaint) => {
                    let field = format!("endpoints[{index}].addresses[{position}]");
                    notes.warning(
                        "AddressRefused",
                        field,
                        format!("{} {complaint} and is ignored; correct it", Quoted(text)),
                    );
                }
            }
        }
    }
    Addresses { slice, weight, list }
}

impl Addresses<'_> {
    /// Adds the endpoints of the port with a name; empty for the unnamed port.
    pub(crate) fn endpoints(&self, port_name: &str, transport: Transport, notes: &mut Notes, out: &mut Vec<Endpoint>) {
        for (index, port) in self.slice.ports.iter().flatten().enumerate() {
            let fits = is_of(port.protocol.as_deref(), transport);
            let name = port.name.as_deref().unwrap_or_default();
            let only_unnamed = name.is_empty() && self.slice.ports.as_ref().is_some_and(|ports| ports.len() == 1);
            if !fits || (name != port_name && !only_unnamed) {
                continue;
            }
            if name != port_name {
                // The API server's own controller always names it; people who write slices by hand forget to.
                let message = format!("the only port has no name and is taken for {}; name it so", Quoted(port_name));
                notes.info("PortUnnamed", format!("ports[{index}].name"), message);
            }
            let Some(Ok(number @ 1..)) = port.port.map(u16::try_from) else {
                let message = "the port is not a number between 1 and 65535 and is ignored; correct it".to_owned();
                notes.warning("PortInvalid", format!("ports[{index}].port"), message);
                continue;
            };
            out.extend(self.list.iter().map(|address| Endpoint {
                address: SocketAddr::new(address.ip, number),
                readiness: address.readiness,
                weight: self.weight,
                zone: address.zone.clone(),
                for_zones: address.for_zones.clone(),
            }));
        }
    }
}

/// The share of each endpoint of a slice; slices that people write by hand may have other ones than 1.
fn weight(slice: &EndpointSlice, notes: &mut Notes) -> u16 {
    let annotations = slice.metadata.annotations.as_ref();
    let Some(text) = annotations.and_then(|all| all.get(WEIGHT)) else { return 1 };
    match text.trim().parse() {
        Ok(weight @ 0..=1_000) => weight,
        _ => {
            let message = format!("weight {} is not a whole number from 0 to 1000; 1 is used", Quoted(text));
            notes.warning("WeightInvalid", format!("metadata.annotations[{WEIGHT}]"), message);
            1
        }
    }
}

/// All endpoints of the Service have weight 0.
pub(crate) fn note_weightless(notes: &mut Notes) {
    let message = "all endpoints of the Service have weight 0, so all get the same share; give those a weight that shall \
                   have more";
    notes.warning("WeightInvalid", format!("metadata.annotations[{WEIGHT}]"), message.to_owned());
}

/// What absent conditions mean is the API's own definition: ready and serving, not terminating.
fn readiness(conditions: Option<&EndpointConditions>) -> Option<Readiness> {
    let conditions = conditions.cloned().unwrap_or_default();
    if conditions.ready.unwrap_or(true) {
        Some(Readiness::Ready)
    } else if conditions.serving.unwrap_or(true) && conditions.terminating.unwrap_or(false) {
        Some(Readiness::Draining)
    } else {
        None
    }
}

fn parse_ipv4(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

fn parse_ipv6(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// Refuses what no pod can have. The API server also refuses loopback, but a folder of manifests may use it.
pub(crate) fn usable(ip: IpAddr) -> Result<IpAddr, &'static str> {
    let (broadcast, link_local) = match ip.to_canonical() {
        IpAddr::V4(ip) => (ip.is_broadcast(), ip.is_link_local()),
        IpAddr::V6(ip) => (false, ip.is_unicast_link_local()),
    };
    match ip.to_canonical() {
        ip if ip.is_unspecified() => Err("is the unspecified address"),
        ip if ip.is_multicast() || broadcast => Err("is a multicast address"),
        _ if link_local => Err("is a link-local address"),
        ip => Ok(ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Kind;
    use crate::snapshot::Key;
    use serde_json::{Value, json};

    /// The endpoints of a port as text, and the fields with notes.
    fn endpoints(slice: &Value, port: &str) -> (Vec<String>, Vec<String>) {
        let mut object = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {}});
        object.as_object_mut().unwrap().append(&mut slice.as_object().unwrap().clone());
        let slice: EndpointSlice = serde_json::from_value(object).unwrap();
        let mut notes = Notes::new(Key::new("ns", "slice").reference(Kind::EndpointSlice));
        let mut out = Vec::new();
        read(&slice, &mut Zones::default(), &mut notes).endpoints(port, Transport::Tcp, &mut notes, &mut out);
        let show = |e: &Endpoint| format!("{} {:?} {:?} {:?}", e.address, e.readiness, e.zone, e.for_zones);
        (out.iter().map(show).collect(), notes.list.into_iter().map(|note| note.field).collect())
    }

    #[test]
    fn conditions_decide_the_readiness() {
        for (conditions, want) in [
            (json!({}), Some(Readiness::Ready)),
            (json!({"ready": true, "serving": false}), Some(Readiness::Ready)),
            (json!({"ready": false}), None),
            (json!({"ready": false, "serving": true}), None),
            (json!({"ready": false, "serving": true, "terminating": true}), Some(Readiness::Draining)),
            (json!({"ready": false, "terminating": true}), Some(Readiness::Draining)),
            (json!({"ready": false, "serving": false, "terminating": true}), None),
        ] {
            let parsed: EndpointConditions = serde_json::from_value(conditions.clone()).unwrap();
            assert_eq!(readiness(Some(&parsed)), want, "{conditions}");
        }
        assert_eq!(readiness(None), Some(Readiness::Ready));
    }

    #[test]
    fn the_port_is_chosen_by_name() {
        let slice = json!({
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "zone": "a", "hints": {"forZones": [{"name": "b"}]}}],
            "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 9090}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        });
        assert_eq!(endpoints(&slice, "http").0, [r#"10.0.0.1:8080 Ready Some("a") ["b"]"#]);
        assert_eq!(endpoints(&slice, "admin").0.len(), 1);
        assert_eq!(endpoints(&slice, "dns").0.len(), 0);
        assert_eq!(endpoints(&slice, "").0.len(), 0);
    }

    #[test]
    fn an_unnamed_port_matches_the_unnamed_port() {
        for port in [json!({"port": 80}), json!({"name": "", "port": 80})] {
            let slice = json!({"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}], "ports": [port]});
            assert_eq!(endpoints(&slice, "").0, ["[fd00::1]:80 Ready None []"]);
        }
    }

    #[test]
    fn an_only_port_without_a_name_is_taken_for_the_services_port() {
        let mut slice =
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]});
        let (list, fields) = endpoints(&slice, "http");
        assert_eq!((list.len(), fields), (1, vec!["ports[0].name".to_owned()]));
        slice["ports"] = json!([{"port": 80}, {"name": "admin", "port": 81}]);
        assert_eq!(endpoints(&slice, "http").0.len(), 0);
    }

    #[test]
    fn nonsense_addresses_are_refused_one_by_one() {
        let slice = json!({
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1", "x", "0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.169.254", "::1", "127.0.0.1"]}],
            "ports": [{"port": 80}, {"port": 0}, {"port": 70000}, {}],
        });
        let (list, fields) = endpoints(&slice, "");
        assert_eq!(list, ["10.0.0.1:80 Ready None []", "127.0.0.1:80 Ready None []"]);
        let mut want: Vec<_> = (1..7).map(|index| format!("endpoints[0].addresses[{index}]")).collect();
        want.extend((1..4).map(|index| format!("ports[{index}].port")));
        assert_eq!(fields, want);
    }

    #[test]
    fn names_instead_of_addresses_are_ignored() {
        let slice = json!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.com"]}], "ports": [{"port": 80}]});
        assert_eq!(endpoints(&slice, ""), (vec![], vec!["addressType".to_owned()]));
    }
}
