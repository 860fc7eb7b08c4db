//! The controller-wide default backend and certificate.
use std::sync::Arc;

use table::{PathMatch, Rule};

use crate::backends;
use crate::ingress::{self, default_route};
use crate::notes::Notes;
use crate::object::Kind;
use crate::round::Round;
use crate::service;
use crate::snapshot::{Dirty, Key};
use crate::text::Quoted;
use crate::translator::Translator;

impl Translator {
    /// Brings the controller-wide default backend and certificate up to date.
    pub(crate) fn translate_defaults(&mut self, dirty: &Dirty, round: &mut Round) {
        if let Some((namespace, name)) = &self.options.default_backend_service {
            let key = Key::new(namespace, name);
            if round.first || round.config_changed || dirty.services.contains(&key) {
                self.translate_default_backend(&key, round);
            }
        }
        if let Some((namespace, name)) = &self.options.default_ssl_certificate {
            let key = Key::new(namespace, name);
            if round.first || dirty.secrets.contains(&key) {
                self.translate_default_certificate(&key, round);
            }
        }
    }

    fn translate_default_backend(&mut self, key: &Key, round: &mut Round) {
        let mut notes = Notes::new(key.reference(Kind::Service));
        let port = match self.snapshot.get_service(key) {
            Some(service) => service::first_port(service).ok_or("has no TCP port; add one"),
            None => Err("does not exist; create it or correct the option"),
        };
        let complaint = port.err().map(|complaint| {
            format!("Service {} {complaint}; until then unknown hosts and paths answer 404", Quoted(&key.to_string()))
        });
        if let Some(message) = complaint {
            notes.error("DefaultBackendUnusable", "--default-backend-service".to_owned(), message);
        }
        self.clusters.set_default_backend_notes(key, notes.list);
        let target = port.ok().map(|port| backends::target(key, port));
        let cluster = target.as_ref().and_then(|target| target.cluster.clone().ok());
        if let Some(id) = &cluster {
            self.clusters.acquire(id);
        }
        if let Some(id) = std::mem::replace(&mut self.default_backend, cluster.clone()) {
            self.clusters.release(&id);
        }
        let policy = target.zip(cluster).map(|(target, cluster)| default_route(&target, cluster, &self.config));
        let rule = policy.map(|policy| Rule { path: PathMatch::Prefix("".into()), policy });
        let before = round.current.default_backend.as_ref();
        let same = match (before, &rule) {
            (Some(before), Some(rule)) => ingress::same(&before.policy, &rule.policy),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            round.edit().default_backend = rule.map(Arc::new);
        }
    }

    fn translate_default_certificate(&mut self, key: &Key, round: &mut Round) {
        let object = key.reference(Kind::Secret);
        let mut notes = Notes::new(object.clone());
        let certificate = match self.certificates.get(key, &self.snapshot, round.now) {
            Ok(parsed) => Some(parsed.certificate.clone()),
            Err(unusable) => {
                let message = format!("{}; until then a self-signed certificate serves", unusable.message);
                notes.add(unusable.severity, unusable.reason, "--default-ssl-certificate".to_owned(), message);
                None
            }
        };
        self.notes.set(&object, notes.list);
        if certificate.as_ref().map(Arc::as_ptr) != round.current.default_certificate.as_ref().map(Arc::as_ptr) {
            round.edit().default_certificate = certificate;
        }
    }

    /// Is it the Secret of the default certificate?
    pub(crate) fn is_default_secret(&self, key: &Key) -> bool {
        let default = self.options.default_ssl_certificate.as_ref();
        default.is_some_and(|(namespace, name)| *namespace == *key.namespace && *name == *key.name)
    }
}
