//! Flags of what is written to the API server: status, events, and which replica does it.
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use controller::{Duties, Election, Incident, Incidents, Pod, StatusSource};
use futures::{StreamExt, stream};
use gateway::{EndpointChange, EndpointEvent};
use tokio::sync::mpsc;

use crate::value::{NamespacedName, Span};

/// Incidents that may wait to become events; more are dropped.
const WAITING: usize = 256;

/// What is written to the API server.
#[derive(Args, Debug)]
#[command(next_help_heading = "Status, events and leader (named after ingress-nginx's flags)")]
pub(crate) struct DutyArgs {
    /// Write the gateway's addresses into the status of Ingresses
    #[arg(long, env = "INGORA_UPDATE_STATUS", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    update_status: bool,

    /// Remove the addresses from the status of Ingresses when the last replica ends
    #[arg(long, env = "INGORA_UPDATE_STATUS_ON_SHUTDOWN", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    update_status_on_shutdown: bool,

    /// Service in front of the gateway whose addresses the status names; without it and the next flag, those of the nodes
    #[arg(long, env = "INGORA_PUBLISH_SERVICE", value_name = "NAMESPACE/NAME")]
    publish_service: Option<NamespacedName>,

    /// IP addresses and host names that the status names, instead of those of a Service
    #[arg(long, env = "INGORA_PUBLISH_STATUS_ADDRESS", value_name = "ADDRESS,...", value_delimiter = ',')]
    publish_status_address: Vec<String>,

    /// Of the nodes that the gateway runs on, name the internal addresses
    #[arg(long, env = "INGORA_REPORT_NODE_INTERNAL_IP_ADDRESS", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    report_node_internal_ip_address: bool,

    /// How often to look whether the addresses have changed
    #[arg(long, env = "INGORA_STATUS_UPDATE_INTERVAL", value_name = "TIME", default_value_t = Span(Duration::from_secs(60)))]
    status_update_interval: Span,

    /// Name of the Lease by which one replica is found that writes
    #[arg(long, env = "INGORA_ELECTION_ID", value_name = "NAME", default_value = "ingress-controller-leader")]
    election_id: String,

    /// After so long without a word from the leader another replica takes over
    #[arg(long, env = "INGORA_ELECTION_TTL", value_name = "TIME", value_parser = ttl, default_value_t = Span(Duration::from_secs(30)))]
    election_ttl: Span,

    /// Write without asking whether another replica does
    #[arg(long, env = "INGORA_DISABLE_LEADER_ELECTION", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    disable_leader_election: bool,

    /// Write no event when an Ingress was read; those on what needs attention are written all the same
    #[arg(long, env = "INGORA_DISABLE_SYNC_EVENTS", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    disable_sync_events: bool,
}

/// A time that leaves room for renewals.
fn ttl(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    (span.0 >= Duration::from_secs(5)).then_some(span).ok_or_else(|| "write a time of at least 5s".to_owned())
}

impl DutyArgs {
    /// `--election-id`.
    pub(crate) fn election_id(&self) -> &str {
        &self.election_id
    }

    /// The duties; `incidents` become events.
    pub(crate) fn duties(&self, incidents: Incidents) -> Duties {
        let pod = pod();
        let words = self.publish_status_address.iter().map(|word| word.trim());
        let status = StatusSource {
            addresses: words.filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            service: self.publish_service.clone().map(|NamespacedName(namespace, name)| (namespace, name)),
            node_internal_ip: self.report_node_internal_ip_address,
            interval: self.status_update_interval.0.max(Duration::from_secs(1)),
            remove_at_end: self.update_status_on_shutdown,
        };
        let election = Election {
            id: self.election_id.clone(),
            namespace: pod.as_ref().map(|pod| pod.namespace.clone()),
            ttl: self.election_ttl.0,
        };
        Duties {
            pod,
            election: (!self.disable_leader_election).then_some(election),
            status: self.update_status.then_some(status),
            events: true,
            sync_events: !self.disable_sync_events,
            incidents,
        }
    }
}

/// What ingress-nginx's manifests tell the container of its pod.
fn pod() -> Option<Pod> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(Pod { namespace: variable("POD_NAMESPACE")?, name: variable("POD_NAME")? })
}

/// What the gateway tells of endpoints as what owners of Services should know.
pub(crate) fn incidents() -> (mpsc::Sender<EndpointEvent>, Incidents) {
    let (sender, mut events) = mpsc::channel(WAITING);
    let told = stream::poll_fn(move |context| events.poll_recv(context));
    (sender, Incidents::new(told.map(|event| incident(&event))))
}

/// What the owner of a Service should know. The same words for the same endpoint, so that events are counted rather than
/// many.
fn incident(event: &EndpointEvent) -> Incident {
    let EndpointEvent { cluster, address, change, why } = event;
    let why = why.replace('_', " ");
    let (warning, reason, message) = match change {
        EndpointChange::Ejected => (
            true,
            "EndpointEjected",
            format!("endpoint {address} gets no requests for now ({why}); look at the pod with this address"),
        ),
        EndpointChange::Returned => {
            (false, "EndpointReturned", format!("endpoint {address} passed a probe and gets requests again"))
        }
    };
    let (namespace, service) = (cluster.namespace().to_string(), cluster.service().to_string());
    Incident { namespace, service, warning, reason, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ejection_is_a_warning_on_the_service_and_a_return_is_none() {
        let cluster = table::ClusterId::new("shop", "cart", table::ServicePort::Number(80));
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], 80));
        let told = |change, why| incident(&EndpointEvent { cluster: cluster.clone(), address, change, why });
        let out = told(EndpointChange::Ejected, "connect_timeout");
        assert_eq!(
            (&*out.namespace, &*out.service, out.warning, out.reason),
            ("shop", "cart", true, "EndpointEjected")
        );
        assert!(out.message.contains("10.0.0.1:80") && out.message.contains("(connect timeout)"), "{}", out.message);
        let back = told(EndpointChange::Returned, "refused");
        assert_eq!((back.warning, back.reason), (false, "EndpointReturned"));
    }

    #[test]
    fn a_term_leaves_room_for_renewals() {
        assert_eq!(ttl("30s"), Ok(Span(Duration::from_secs(30))));
        assert!(ttl("4s").is_err() && ttl("x").is_err());
    }
}
