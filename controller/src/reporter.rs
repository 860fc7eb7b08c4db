//! Posts events to the API server as `kubectl describe` shows them: one object for each, with a count.
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use translate::{Kind, ObjectRef};

use crate::events::Due;
use crate::fault::Fault;
use crate::hash::fnv;
use crate::watch::within;

/// Longest message that the API server takes, in bytes.
const LONGEST: usize = 1024;
/// Longest part of an object's name in an event's: 16 digits and a dot follow.
const LONGEST_NAME: usize = 236;

/// Posts in the name of a replica.
#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) client: Client,
    pub(crate) instance: String,
}

impl Reporter {
    /// Posts an event; returns how often that was done by now. Its name follows from what it says, so that another
    /// replica, or this one after a restart, counts on instead of posting it twice.
    ///
    /// # Errors
    /// When it was not posted.
    pub(crate) async fn post(&self, due: &Due, limit: Duration) -> Result<i32, Fault> {
        let namespace = namespace(&due.what.object);
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let name = name(due);
        if let Some(count) = due.count {
            match self.count_up(&events, &name, count, limit).await {
                // Forgotten by the API server since.
                Err(fault) if fault.is_not_found() => {}
                counted => return counted,
            }
        }
        let event = self.event(due, name.clone(), namespace);
        match within(limit, "an event", events.create(&PostParams::default(), &event)).await {
            Ok(_) => Ok(1),
            Err(fault) if fault.is_conflict() => {
                // The answer tells the count, so that nobody needs the right to read events.
                let touched = touch(&events, &name, json!({"lastTimestamp": now()}), limit).await?;
                self.count_up(&events, &name, touched.count.unwrap_or(1), limit).await
            }
            Err(fault) => Err(fault),
        }
    }

    async fn count_up(&self, events: &Api<Event>, name: &str, count: i32, limit: Duration) -> Result<i32, Fault> {
        let count = count.saturating_add(1);
        let change = json!({"count": count, "lastTimestamp": now(), "reportingInstance": self.instance});
        touch(events, name, change, limit).await?;
        Ok(count)
    }

    fn event(&self, due: &Due, name: String, namespace: &str) -> Event {
        let what = &due.what;
        let mut event = Event {
            involved_object: ObjectReference {
                api_version: Some(api_version(what.object.kind).to_owned()),
                kind: Some(what.object.kind.to_string()),
                name: Some(what.object.name.to_string()),
                namespace: Some(what.object.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
                uid: due.uid.as_deref().map(str::to_owned),
                ..ObjectReference::default()
            },
            reason: Some(what.reason.clone()),
            message: Some(shortened(&what.message, LONGEST).to_owned()),
            type_: Some(if what.warning { "Warning" } else { "Normal" }.to_owned()),
            count: Some(1),
            first_timestamp: Some(now()),
            last_timestamp: Some(now()),
            source: Some(EventSource { component: Some("ingora".to_owned()), host: None }),
            reporting_component: Some("ingora".to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        event.metadata.name = Some(name);
        event.metadata.namespace = Some(namespace.to_owned());
        event
    }
}

async fn touch(events: &Api<Event>, name: &str, change: serde_json::Value, limit: Duration) -> Result<Event, Fault> {
    within(limit, "an event", events.patch(name, &PatchParams::default(), &Patch::Merge(change))).await
}

fn now() -> Time {
    Time(Timestamp::now())
}

/// Events about what has no namespace are in `default`.
fn namespace(object: &ObjectRef) -> &str {
    if object.namespace.is_empty() { "default" } else { &object.namespace }
}

fn api_version(kind: Kind) -> &'static str {
    match kind {
        Kind::Ingress | Kind::IngressClass => "networking.k8s.io/v1",
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::Service | Kind::Secret | Kind::ConfigMap | Kind::Pod => "v1",
    }
}

fn name(due: &Due) -> String {
    let what = &due.what;
    let kind = what.object.kind.to_string();
    let warning = if what.warning { "w" } else { "n" };
    let parts = [&kind, due.uid.as_deref().unwrap_or_default(), warning, &what.reason, &what.message];
    let hash = fnv(parts.map(str::as_bytes));
    format!("{}.{hash:016x}", shortened(&what.object.name, LONGEST_NAME))
}

/// The longest beginning that fits.
fn shortened(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::What;

    fn due(name: &str, message: &str) -> Due {
        let object = ObjectRef { kind: Kind::Ingress, namespace: "d".into(), name: name.into() };
        let what = What { object, warning: true, reason: "Bad".to_owned(), message: message.to_owned() };
        Due { what, uid: Some("u".into()), count: None }
    }

    #[test]
    fn what_is_said_makes_the_name() {
        assert_eq!(name(&due("a", "x")), name(&due("a", "x")));
        assert_ne!(name(&due("a", "x")), name(&due("a", "y")));
    }

    #[test]
    fn names_and_messages_fit() {
        assert_eq!(name(&due(&"a".repeat(253), "x")).len(), 253);
        assert_eq!(shortened("äöü", 3), "ä");
        assert_eq!(shortened("short", 99), "short");
    }

    #[test]
    fn events_without_a_namespace_are_in_default() {
        let object = ObjectRef { kind: Kind::IngressClass, namespace: "".into(), name: "a".into() };
        assert_eq!(namespace(&object), "default");
    }
}
