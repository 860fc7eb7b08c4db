//! `spec.tls` of one Ingress: which hosts it wants which certificate for.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{Ingress, IngressTLS};
use table::{Certificate, HostPattern};

use crate::certificates::Certificates;
use crate::dependents::Dependency;
use crate::notes::Notes;
use crate::snapshot::{Key, Snapshot};
use crate::text::Quoted;
use crate::tls::{Parsed, parent};

/// What an Ingress wants for one host.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    /// `None` when there is no usable one: the host has TLS all the same, with the default certificate.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Index in `spec.tls`.
    pub(crate) entry: usize,
}

impl Want {
    /// Is it the very same?
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.entry == other.entry
            && self.certificate.as_ref().map(Arc::as_ptr) == other.certificate.as_ref().map(Arc::as_ptr)
    }
}

/// What an Ingress says about TLS.
#[derive(Debug, Default)]
pub(crate) struct TlsPart {
    pub(crate) wants: BTreeMap<HostPattern, Want>,
    pub(crate) dependencies: BTreeSet<Dependency>,
}

/// Where certificates come from.
#[derive(Debug)]
pub(crate) struct Shelf<'a> {
    pub(crate) certificates: &'a mut Certificates,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) now: i64,
}

/// Reads the TLS entries of an Ingress.
pub(crate) fn read(ingress: &Ingress, key: &Key, shelf: &mut Shelf<'_>, notes: &mut Notes) -> TlsPart {
    let mut part = TlsPart::default();
    let Some(spec) = &ingress.spec else { return part };
    // Which entry's certificate covers a name first, for the hosts that no entry names.
    let mut covering: BTreeMap<HostPattern, Want> = BTreeMap::new();
    let mut nameless = Vec::new();
    let rule_hosts = || spec.rules.iter().flatten().filter_map(|rule| rule.host.as_deref()).filter_map(rule_host);
    let has_rule = |host: &HostPattern| {
        rule_hosts().any(|rule| rule == *host || parent(&rule).as_ref() == Some(host) || parent(host) == Some(rule))
    };
    for (entry, tls) in spec.tls.iter().flatten().enumerate() {
        let parsed = certificate(tls, entry, key, shelf, &mut part, notes);
        let hosts = hosts(tls, entry, notes);
        if let Some(parsed) = &parsed {
            for name in parsed.names() {
                covering
                    .entry(name.clone())
                    .or_insert_with(|| Want { certificate: Some(parsed.certificate.clone()), entry });
            }
            if tls.hosts.iter().flatten().next().is_none() {
                nameless.push((entry, parsed.clone()));
            }
        }
        for host in hosts {
            let certificate = parsed.as_deref().and_then(|parsed| covered(parsed, &host, entry, notes));
            if certificate.is_none() && !has_rule(&host) {
                // It would send the host of others to https, and to a certificate that is not its own.
                let message = format!(
                    "there is neither a usable certificate nor a rule of this Ingress for the host {host}, so the entry \
                     is not used for it; add a rule or the certificate"
                );
                notes.warning("TlsHostWithoutRule", format!("spec.tls[{entry}].hosts"), message);
                continue;
            }
            let want = part.wants.entry(host).or_insert_with(|| Want { certificate: None, entry });
            if want.certificate.is_none() && certificate.is_some() {
                *want = Want { certificate, entry };
            }
        }
    }
    if !covering.is_empty() {
        for host in rule_hosts() {
            let direct = covering.get(&host);
            let wildcard = parent(&host).and_then(|parent| covering.get(&parent));
            let first = direct.into_iter().chain(wildcard).min_by_key(|want| want.entry);
            if let Some(want) = first {
                part.wants.entry(host).or_insert_with(|| want.clone());
            }
        }
    }
    for (entry, parsed) in nameless {
        if !rule_hosts().any(|host| parsed.covers(&host)) {
            let message = "the certificate covers no host of this Ingress and is not used; name the hosts in \
                           spec.tls or issue a certificate for them"
                .to_owned();
            notes.warning("CertificateUnused", secret_field(entry), message);
        }
    }
    part
}

fn rule_host(text: &str) -> Option<HostPattern> {
    HostPattern::parse(text).ok().filter(|host| *host != HostPattern::Any)
}

fn secret_field(entry: usize) -> String {
    format!("spec.tls[{entry}].secretName")
}

fn certificate(
    tls: &IngressTLS,
    entry: usize,
    key: &Key,
    shelf: &mut Shelf<'_>,
    part: &mut TlsPart,
    notes: &mut Notes,
) -> Option<Arc<Parsed>> {
    // Without a Secret the default certificate serves, as the API defines.
    let name = tls.secret_name.as_deref().filter(|name| !name.is_empty())?;
    let secret = Key { namespace: key.namespace.clone(), name: name.into() };
    part.dependencies.insert(Dependency::Secret(secret.clone()));
    match shelf.certificates.get(&secret, shelf.snapshot, shelf.now) {
        Ok(parsed) => Some(parsed),
        Err(unusable) => {
            let message = format!("{}; until then the default certificate serves", unusable.message);
            notes.add(unusable.severity, unusable.reason, secret_field(entry), message);
            None
        }
    }
}

fn hosts(tls: &IngressTLS, entry: usize, notes: &mut Notes) -> Vec<HostPattern> {
    let mut hosts = Vec::new();
    for (index, text) in tls.hosts.iter().flatten().enumerate() {
        match rule_host(text) {
            Some(host) => hosts.push(host),
            None => {
                let message = format!("{} is not a DNS name and is ignored; correct it", Quoted(text));
                notes.error("HostInvalid", format!("spec.tls[{entry}].hosts[{index}]"), message);
            }
        }
    }
    hosts
}

/// The certificate, if it covers a host.
fn covered(parsed: &Parsed, host: &HostPattern, entry: usize, notes: &mut Notes) -> Option<Arc<Certificate>> {
    let secret = Quoted(&parsed.certificate.source);
    if !parsed.covers(host) {
        let message = format!(
            "the certificate of Secret {secret} does not cover {host}, which the default certificate serves; issue it \
             with that name"
        );
        notes.warning("CertificateUncovered", secret_field(entry), message);
        return None;
    }
    if parsed.common_name_only {
        let message = format!(
            "the certificate of Secret {secret} names {host} only in its subject, which clients ignore; issue it with \
             a subject alternative name"
        );
        notes.warning("CertificateWithoutNames", secret_field(entry), message);
    }
    Some(parsed.certificate.clone())
}
