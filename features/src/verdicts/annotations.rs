//! Annotations that nothing reads.
use super::{inert, refused};
use crate::annotation::Key;

const BUFFERS: &str = "Answers stream with a small buffer; nothing of them is written to files.";
const WAF: &str = "There is no web application firewall here; run one in front of the Service or the gateway.";
const FCGI: &str = "FastCGI is not spoken; put a server that speaks HTTP before the application.";
const GONE: &str = "ingress-nginx itself no longer reads it; remove it.";
const OPENTRACING: &str = "ingress-nginx itself no longer reads it; remove it, and trace in the services.";

/// All of them, by name.
pub(super) const KEYS: &[Key<()>] = &[
    inert("proxy-buffers-number", "Number of buffers for a response.", BUFFERS),
    inert("proxy-busy-buffers-size", "Size of the buffers that are being sent.", BUFFERS),
    inert("proxy-max-temp-file-size", "Size of the file that a response may be buffered in.", BUFFERS),
    inert("enable-rewrite-log", "Logs each step of nginx's rewriting.", "`ingora explain` shows every step."),
    inert("http2-push-preload", "Pushes what Link fields name.", "Browsers no longer take HTTP/2 pushes."),
    refused("fastcgi-index", "Index file for FastCGI.", FCGI),
    refused("fastcgi-params-configmap", "ConfigMap with FastCGI parameters.", FCGI),
    refused("enable-owasp-core-rules", "Loads the OWASP rules into ModSecurity.", WAF),
    refused("modsecurity-snippet", "Rules for ModSecurity.", WAF),
    refused("modsecurity-transaction-id", "Transaction id for ModSecurity.", WAF),
    // Names that ingress-nginx has dropped, and keys of the ConfigMap that people put on Ingresses.
    refused("add-base-url", "Wrote a base element into pages.", GONE),
    refused("base-url-scheme", "Scheme of the base element.", GONE),
    refused("enable-influxdb", "Sent metrics to InfluxDB.", "Scrape /metrics instead."),
    refused("influxdb-host", "Host of InfluxDB.", "Scrape /metrics instead."),
    refused("influxdb-measurement", "Measurement of InfluxDB.", "Scrape /metrics instead."),
    refused("influxdb-port", "Port of InfluxDB.", "Scrape /metrics instead."),
    refused("influxdb-server-name", "Server name for InfluxDB.", "Scrape /metrics instead."),
    refused("enable-opentracing", "Traced requests.", OPENTRACING),
    refused("opentracing-operation-name", "Name of the spans.", OPENTRACING),
    refused("opentracing-location-operation-name", "Name of the spans of a path.", OPENTRACING),
    refused("opentracing-trust-incoming-span", "Went on with the client's trace.", OPENTRACING),
    refused("enable-websockets", "Let WebSockets through.", "They always pass; remove it."),
    refused("websocket-services", "Services with WebSockets.", "WebSockets always pass; remove it."),
    refused("grpc-backend", "Spoke gRPC to the endpoints.", "Set backend-protocol: GRPC."),
    refused("secure-backends", "Spoke HTTPS to the endpoints.", "Set backend-protocol: HTTPS."),
    refused(
        "secure-verify-ca-secret",
        "Certificates to verify endpoints with.",
        "Set proxy-ssl-secret and proxy-ssl-verify.",
    ),
    refused("session-cookie-hash", "Hash of the affinity cookie.", GONE),
    refused("server-snippets", "A misspelling that never had an effect.", "Its right name is server-snippet."),
    refused(
        "proxy-set-headers",
        "A key of the ConfigMap, never an annotation.",
        "Set it in the controller's ConfigMap.",
    ),
    refused(
        "use-forwarded-headers",
        "A key of the ConfigMap, never an annotation.",
        "Set it in the controller's ConfigMap.",
    ),
    refused(
        "use-proxy-protocol",
        "A key of the ConfigMap, never an annotation.",
        "Set it in the controller's ConfigMap.",
    ),
    refused("hsts", "A key of the ConfigMap, never an annotation.", "Set it in the controller's ConfigMap."),
    refused("use-gzip", "A key of the ConfigMap, never an annotation.", "Set it in the controller's ConfigMap."),
    refused(
        "log-format-upstream",
        "A key of the ConfigMap, never an annotation.",
        "Set it in the controller's ConfigMap.",
    ),
    refused(
        "large-client-header-buffers",
        "A key of the ConfigMap, never an annotation.",
        "Set it in the controller's ConfigMap.",
    ),
];
