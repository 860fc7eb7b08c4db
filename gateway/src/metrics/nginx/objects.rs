//! What ingress-nginx says of certificates and of Ingresses whose Services serve nobody.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use prometheus::IntGaugeVec;
use table::Certificate;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use super::Make;

/// What the live table holds, when somebody asks.
#[derive(Default)]
pub(crate) struct Objects<'t> {
    /// Hosts with their certificates; the default one has the host `_`.
    pub(crate) certificates: Vec<(String, &'t Certificate)>,
    /// Namespace and name of Ingresses, and whether their Service is missing or has no endpoints.
    pub(crate) orphans: BTreeSet<(String, String, Lack)>,
    /// Requests at endpoints.
    pub(crate) in_flight: u64,
}

/// What an Ingress lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// Its Service.
    Service,
    /// Endpoints of it.
    Endpoint,
}

impl Lack {
    fn as_str(self) -> &'static str {
        match self {
            Self::Service => "no-service",
            Self::Endpoint => "no-endpoint",
        }
    }
}

const EXPIRY: [&str; 5] = ["namespace", "class", "host", "secret_name", "identifier"];
const INFO: [&str; 9] = [
    "namespace",
    "class",
    "host",
    "secret_name",
    "identifier",
    "issuer_organization",
    "issuer_common_name",
    "serial_number",
    "public_key_algorithm",
];

/// Host and identity of a certificate, and the values of its series.
type Certificates = BTreeMap<(String, String, String), [String; 9]>;

/// The series that are published.
pub(super) struct Published {
    class: String,
    expiry: IntGaugeVec,
    info: IntGaugeVec,
    orphan: IntGaugeVec,
    certificates: Mutex<Certificates>,
    orphans: Mutex<BTreeSet<(String, String, Lack)>>,
}

impl Published {
    pub(super) fn new(make: &Make<'_>, class: &str) -> Result<Self, prometheus::Error> {
        Ok(Self {
            class: class.to_owned(),
            expiry: make.int_gauges(
                "ssl_expire_time_seconds",
                "End of a certificate's validity, in seconds since the Unix epoch.",
                &EXPIRY,
            )?,
            info: make.int_gauges("ssl_certificate_info", "A certificate that serves; always 1.", &INFO)?,
            orphan: make.int_gauges(
                "orphan_ingress",
                "1 for an Ingress whose Service is missing or has no endpoints.",
                &["namespace", "ingress", "type"],
            )?,
            certificates: Mutex::default(),
            orphans: Mutex::default(),
        })
    }

    /// Publishes exactly these.
    pub(super) fn publish(&self, objects: &Objects<'_>) {
        self.publish_certificates(&objects.certificates);
        let mut published = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, ingress, lack) in published.difference(&objects.orphans) {
            drop(self.orphan.remove_label_values(&[namespace, ingress, lack.as_str()]));
        }
        for (namespace, ingress, lack) in &objects.orphans {
            self.orphan.with_label_values(&[namespace.as_str(), ingress, lack.as_str()]).set(1);
        }
        published.clone_from(&objects.orphans);
    }

    fn publish_certificates(&self, certificates: &[(String, &Certificate)]) {
        let mut published = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = Certificates::new();
        for (host, certificate) in certificates {
            let key = (host.clone(), certificate.source.to_string(), certificate.serial.to_string());
            // A certificate is read once, however often somebody asks.
            let values = published.remove(&key).unwrap_or_else(|| self.values(host, certificate));
            let [namespace, class, host, secret, identifier, ..] = &values;
            self.expiry.with_label_values(&[namespace, class, host, secret, identifier]).set(certificate.not_after);
            self.info.with_label_values(&values).set(1);
            now.insert(key, values);
        }
        for values in published.values() {
            let [namespace, class, host, secret, identifier, ..] = values;
            drop(self.expiry.remove_label_values(&[namespace, class, host, secret, identifier]));
            drop(self.info.remove_label_values(values));
        }
        *published = now;
    }

    fn values(&self, host: &str, certificate: &Certificate) -> [String; 9] {
        let (namespace, secret) = certificate.source.split_once('/').unwrap_or(("", &certificate.source));
        let identifier = format!("{namespace}-{secret}-{}", certificate.serial);
        let parsed = certificate.chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        let (organization, common_name, algorithm) = parsed.map(|(_, leaf)| describe(&leaf)).unwrap_or_default();
        [
            namespace.to_owned(),
            self.class.clone(),
            host.to_owned(),
            secret.to_owned(),
            identifier,
            organization,
            common_name,
            certificate.serial.to_string(),
            algorithm,
        ]
    }
}

fn describe(leaf: &X509Certificate<'_>) -> (String, String, String) {
    let issuer: &X509Name<'_> = leaf.issuer();
    let organization = issuer.iter_organization().find_map(|name| name.as_str().ok());
    let common_name = issuer.iter_common_name().find_map(|name| name.as_str().ok());
    // The object identifiers of RFC 3279, RFC 5480 and RFC 8410, as Go names them.
    let algorithm = match leaf.public_key().algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => "RSA",
        "1.2.840.10045.2.1" => "ECDSA",
        "1.3.101.112" => "Ed25519",
        _ => "unknown",
    };
    let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (owned(organization), owned(common_name), algorithm.to_owned())
}
