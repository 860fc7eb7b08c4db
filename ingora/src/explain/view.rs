//! What an explanation says, as data: printed as text or JSON.
use serde::Serialize;
use table::ClusterId;

use super::peers::By;

/// Everything about one request.
#[derive(Debug, Default, Serialize)]
pub(super) struct Explanation {
    /// The request as it is decided on.
    pub(super) request: RequestView,
    /// The host pattern that took it.
    pub(super) host: Option<HostView>,
    /// The rules that were considered, the winner first.
    pub(super) rules: Vec<RuleView>,
    /// Rules of the host that do not match and are not listed.
    pub(super) hidden_rules: usize,
    /// What each feature of the winner decided, in the order of execution.
    pub(super) features: Vec<FeatureView>,
    /// What else its annotations say: how endpoints are talked to and chosen, limits, and the like.
    pub(super) settings: Vec<SettingView>,
    /// What becomes of its trace, where the rule is traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
    /// The canary of the rule's Service: what it takes, and what was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) canary: Option<CanaryView>,
    /// Where it goes.
    pub(super) cluster: Option<ClusterView>,
    /// What an endpoint is chosen by, and from.
    #[serde(skip)]
    pub(super) choice: Option<(ClusterId, By)>,
    /// How the endpoint was chosen; empty unless asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) peers_by: String,
    /// What became of each endpoint in the choice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) peers: Vec<PeerView>,
    /// What a TLS handshake shows.
    pub(super) certificate: Option<CertificateView>,
    /// Notes on the objects involved.
    pub(super) notes: Vec<String>,
    /// What happens in the end.
    pub(super) answer: Answer,
}

/// A request.
#[derive(Debug, Default, Serialize)]
pub(super) struct RequestView {
    pub(super) method: String,
    pub(super) scheme: String,
    /// As sent.
    pub(super) authority: String,
    /// As sent.
    pub(super) target: String,
    /// Canonical; empty when the request is refused before.
    pub(super) host: String,
    /// Canonical; empty when the request is refused before.
    pub(super) path: String,
}

/// A host pattern.
#[derive(Debug, Serialize)]
pub(super) struct HostView {
    pub(super) pattern: String,
    /// Patterns that cover the host too.
    pub(super) lesser: Vec<String>,
}

/// A rule.
#[derive(Debug, Serialize)]
pub(super) struct RuleView {
    pub(super) won: bool,
    /// Why it won or lost.
    pub(super) why: String,
    pub(super) host: String,
    pub(super) path_type: &'static str,
    pub(super) path: String,
    /// `namespace/name`; empty for the controller's default backend.
    pub(super) ingress: String,
    /// `file:line`, where it comes from a folder.
    pub(super) origin: Option<String>,
    /// `service:port`.
    pub(super) backend: String,
}

/// A feature's decision.
#[derive(Debug, Serialize)]
pub(super) struct FeatureView {
    pub(super) name: &'static str,
    /// What switched it on; empty for a default.
    pub(super) from: Vec<SourceView>,
    pub(super) decision: String,
    /// What it changes about the request.
    pub(super) edits: Vec<String>,
    /// What it changes about the fields of the answer, whoever makes it.
    pub(super) answer: Vec<String>,
}

/// An annotation or a key of the controller's ConfigMap.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct SourceView {
    /// `Kind namespace/name`.
    pub(super) object: String,
    /// The annotation, or the key.
    pub(super) key: String,
}

/// Annotations that no feature of the request reads.
#[derive(Debug, Serialize)]
pub(super) struct SettingView {
    pub(super) name: &'static str,
    pub(super) from: Vec<SourceView>,
}

/// A canary.
#[derive(Debug, Serialize)]
pub(super) struct CanaryView {
    /// Its cluster, its Ingress and its terms.
    pub(super) terms: String,
    pub(super) decision: String,
}

/// A cluster.
#[derive(Debug, Serialize)]
pub(super) struct ClusterView {
    /// `namespace/service:port`.
    pub(super) name: String,
    pub(super) protocol: &'static str,
    pub(super) endpoints: Vec<EndpointView>,
}

/// An endpoint.
#[derive(Debug, Serialize)]
pub(super) struct EndpointView {
    pub(super) address: String,
    pub(super) readiness: &'static str,
    pub(super) zone: Option<String>,
    /// May it get this request?
    pub(super) eligible: bool,
}

/// An endpoint in the choice.
#[derive(Debug, Serialize)]
pub(super) struct PeerView {
    pub(super) address: String,
    pub(super) chosen: bool,
    /// Why it was chosen or lost.
    pub(super) why: String,
    /// Its share of such requests.
    pub(super) share_percent: f64,
}

/// A certificate.
#[derive(Debug, Serialize)]
pub(super) struct CertificateView {
    pub(super) server_name: String,
    /// `namespace/name` of the Secret, or a word on the gateway's own.
    pub(super) source: String,
    /// Why this one.
    pub(super) why: String,
    /// End of validity, RFC 3339.
    pub(super) not_after: Option<String>,
}

/// The end.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    /// The status that the gateway itself answers with; none when the request is proxied.
    pub(super) status: Option<u16>,
    /// In words.
    pub(super) text: String,
}
