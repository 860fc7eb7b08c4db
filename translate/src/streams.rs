//! TCP and UDP services: the ConfigMaps that give ports of the gateway to ports of Services.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use table::{ClusterId, Stream, Transport};

use crate::notes::Notes;
use crate::object::Kind;
use crate::round::Round;
use crate::service;
use crate::snapshot::{Dirty, Key, Snapshot};
use crate::text::{Plain, Quoted};
use crate::translator::Translator;

/// Most ports that one ConfigMap may take: each holds sockets of every worker.
const MOST: usize = 1024;

/// What the ConfigMaps refer to.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Services, there or not.
    services: BTreeSet<Key>,
    clusters: BTreeSet<ClusterId>,
}

impl Translator {
    /// Reads the ConfigMaps anew when one of them changed, or a Service that they name.
    pub(crate) fn translate_streams(&mut self, dirty: &Dirty, round: &mut Round) {
        let options = &self.options;
        let maps: Vec<(Transport, Key)> = [
            (Transport::Tcp, options.tcp_services_configmap.as_ref()),
            (Transport::Udp, options.udp_services_configmap.as_ref()),
        ]
        .into_iter()
        .filter_map(|(transport, name)| name.map(|(namespace, name)| (transport, Key::new(namespace, name))))
        .collect();
        let concerned = maps.iter().any(|(_, key)| dirty.config_maps.contains(key))
            || self.streams.services.iter().any(|service| dirty.services.contains(service));
        if maps.is_empty() || !(round.first || concerned) {
            return;
        }
        let (mut list, mut notes, mut now) = (Vec::new(), BTreeMap::new(), Streams::default());
        for (transport, key) in &maps {
            let written = notes.entry(key).or_insert_with(|| Notes::new(key.reference(Kind::ConfigMap)));
            let reader = Reader { snapshot: &self.snapshot, reserved: &options.reserved_ports, transport: *transport };
            list.extend(reader.read(key, &mut now.services, written));
        }
        for (key, written) in notes {
            self.notes.set(&key.reference(Kind::ConfigMap), written.list);
        }
        now.clusters = list.iter().map(|stream| stream.cluster.clone()).collect();
        now.clusters.difference(&self.streams.clusters).for_each(|id| self.clusters.acquire(id));
        self.streams.clusters.difference(&now.clusters).for_each(|id| self.clusters.release(id));
        self.streams = now;
        if *round.current.streams != *list {
            round.edit().streams = Arc::from(list);
        }
    }
}

/// Reads one ConfigMap.
struct Reader<'a> {
    snapshot: &'a Snapshot,
    reserved: &'a [u16],
    transport: Transport,
}

impl Reader<'_> {
    fn read(&self, key: &Key, services: &mut BTreeSet<Key>, notes: &mut Notes) -> Vec<Stream> {
        let data = self.snapshot.get_config_map(key).and_then(|map| map.data.as_ref());
        let mut streams = Vec::new();
        for (port, value) in data.into_iter().flatten() {
            let entry = if streams.len() < MOST {
                self.entry(port.trim(), value.trim(), services)
            } else {
                Err(format!("there are {MOST} ports before it already; remove some"))
            };
            match entry {
                Ok(stream) => streams.push(stream),
                Err(why) => {
                    let message = format!("{} port {} is not served: {why}", self.transport, Plain(port));
                    notes.warning("StreamIgnored", format!("data[{}]", Plain(port)), message);
                }
            }
        }
        streams.sort();
        streams.dedup_by(|later, first| later.port == first.port);
        streams
    }

    fn entry(&self, port: &str, value: &str, services: &mut BTreeSet<Key>) -> Result<Stream, String> {
        let Some(number @ 1..) = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten()
        else {
            return Err("a port is a number from 1 to 65535; write one".to_owned());
        };
        if self.transport == Transport::Tcp && self.reserved.contains(&number) {
            return Err("the gateway itself listens there; choose another port".to_owned());
        }
        let form = || format!("{} is not namespace/service:port, with :PROXY after it if need be", Quoted(value));
        let mut parts = value.split(':');
        let name = parts.next().and_then(|name| name.split_once('/')).ok_or_else(form)?;
        let (namespace, service) = name;
        let wanted = parts.next().map(str::trim).filter(|port| !port.is_empty()).ok_or_else(form)?;
        let mut proxy = || match parts.next() {
            None | Some("") => Ok(false),
            Some(word) if word.eq_ignore_ascii_case("PROXY") => Ok(true),
            Some(_) => Err(form()),
        };
        let (decode_proxy, encode_proxy) = (proxy()?, proxy()?);
        if namespace.is_empty() || service.is_empty() || service.contains('/') || parts.next().is_some() {
            return Err(form());
        }
        if self.transport == Transport::Udp && (decode_proxy || encode_proxy) {
            return Err("there is no PROXY protocol for UDP; remove :PROXY".to_owned());
        }
        let key = Key::new(namespace, service);
        services.insert(key.clone());
        let object = self.snapshot.get_service(&key).map(|service| &**service);
        let port = service::stream_port(
            &key.to_string(),
            object,
            wanted,
            self.transport,
            self.snapshot.refuses_external_names,
        )?;
        let cluster = ClusterId::new(namespace, service, port);
        Ok(Stream { transport: self.transport, port: number, cluster, decode_proxy, encode_proxy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Change, Object};
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    fn read(transport: Transport, port: &str, value: &str) -> Result<String, String> {
        let spec =
            json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "name": "t"}, {"port": 9, "name": "x"}]});
        let object = json!({"metadata": {"namespace": "ns", "name": "svc"}, "spec": spec});
        let service: Service = serde_json::from_value(object).unwrap();
        let mut snapshot = Snapshot::default();
        snapshot.apply(Change::Set(Object::Service(Arc::new(service))), &mut Dirty::default());
        let reader = Reader { snapshot: &snapshot, reserved: &[80], transport };
        let stream = reader.entry(port, value, &mut BTreeSet::new())?;
        Ok(format!("{} {} {}", stream.cluster, stream.decode_proxy, stream.encode_proxy))
    }

    #[test]
    fn values_are_read_as_ingress_nginx_reads_them() {
        for (value, want) in [
            ("ns/svc:9", "ns/svc:9 false false"),
            ("ns/svc:x", "ns/svc:9 false false"),
            ("ns/svc:53:PROXY", "ns/svc:53 true false"),
            ("ns/svc:53::PROXY", "ns/svc:53 false true"),
            ("ns/svc:53:PROXY:proxy", "ns/svc:53 true true"),
        ] {
            assert_eq!(read(Transport::Tcp, "9000", value).as_deref(), Ok(want), "{value}");
        }
        assert_eq!(read(Transport::Udp, "80", "ns/svc:53").as_deref(), Ok("ns/svc:53/UDP false false"));
    }

    #[test]
    fn what_cannot_be_read_is_not_served() {
        for (port, value) in [
            ("80", "ns/svc:53"),
            ("0", "ns/svc:53"),
            ("+1", "ns/svc:53"),
            ("65536", "ns/svc:53"),
            ("http", "ns/svc:53"),
            ("9000", "svc:53"),
            ("9000", "ns/svc"),
            ("9000", "ns/svc:"),
            ("9000", "ns/svc:54"),
            ("9000", "ns/svc:53:proxies"),
            ("9000", "ns/svc:53:PROXY:PROXY:PROXY"),
            ("9000", "ns/svc/x:53"),
            ("9000", "ns/other:53"),
            ("9000", "ns/svc:99999999999999999999"),
            ("9000", "\u{0}"),
        ] {
            assert!(read(Transport::Tcp, port, value).is_err(), "{port} {value}");
        }
        assert!(read(Transport::Udp, "9000", "ns/svc:9").is_err());
        assert!(read(Transport::Udp, "9000", "ns/svc:53:PROXY").is_err());
    }
}
