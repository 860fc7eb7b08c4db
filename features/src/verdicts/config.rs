//! Keys of the controller's ConfigMap that nothing reads.
use super::{inert, refused};
use crate::annotation::Key;

const NGINX: &str = "It sizes a table of nginx; tables here size themselves.";
const WORKERS: &str = "Workers are threads that share nothing and are never replaced; --threads sets their number.";
const BUFFERS: &str = "Answers stream with a small buffer; nothing of them is written to files.";
const POOL: &str = "Each worker keeps idle connections to endpoints by itself.";
const TLS: &str = "Strong curves only are offered, whatever this says.";
const SESSIONS: &str = "Sessions resume by tickets whose keys rotate, and by id; both need no setting.";
const WAF: &str = "There is no web application firewall here; run one in front of the Service or the gateway.";
const OTEL: &str = "There is no file to name here; set the otel- and otlp- keys.";
const JAEGER: &str = "ingress-nginx itself no longer reads it; remove it.";
const SNIPPET: &str = "Text for nginx.conf has no meaning here; use the key or annotation that says the same.";
const LOG_FILE: &str = "Lines are written in batches by a thread of their own.";
const SYSLOG: &str = "Let the container runtime or an agent forward standard output.";
const GEOIP: &str = "There is no GeoIP database; look addresses up where the logs are read.";
const STREAM: &str = "TCP and UDP services have metrics, and no log of connections.";
const GUARD: &str = "Every value goes through a typed parser, so that no text can reach a configuration file.";

/// All of them, by area.
pub(super) const KEYS: &[Key<()>] = &[
    inert("map-hash-bucket-size", "Bucket size of nginx's map tables.", NGINX),
    inert("server-name-hash-max-size", "Size of nginx's table of hosts.", NGINX),
    inert("server-name-hash-bucket-size", "Bucket size of nginx's table of hosts.", NGINX),
    inert("proxy-headers-hash-max-size", "Size of nginx's table of fields.", NGINX),
    inert("proxy-headers-hash-bucket-size", "Bucket size of nginx's table of fields.", NGINX),
    inert("variables-hash-max-size", "Size of nginx's table of variables.", NGINX),
    inert("variables-hash-bucket-size", "Bucket size of nginx's table of variables.", NGINX),
    inert("lua-shared-dicts", "Sizes of Lua's shared tables.", "There is no Lua."),
    inert("enable-aio-write", "Writes temporary files asynchronously.", BUFFERS),
    inert(
        "nginx-status-ipv4-whitelist",
        "Who may read nginx's status page.",
        "There is no such page; /metrics has its figures.",
    ),
    inert(
        "nginx-status-ipv6-whitelist",
        "Who may read nginx's status page.",
        "There is no such page; /metrics has its figures.",
    ),
    inert("debug-connections", "Addresses that nginx debugs.", "Use --log-level and `ingora explain`."),
    inert(
        "http2-max-field-size",
        "Size of one HTTP/2 field.",
        "nginx ignores it, too; --max-request-head limits the head.",
    ),
    inert(
        "http2-max-header-size",
        "Size of an HTTP/2 head.",
        "nginx ignores it, too; --max-request-head limits the head.",
    ),
    inert("http2-max-requests", "Requests of one HTTP/2 connection.", "nginx ignores it, too."),
    inert(
        "http2-max-concurrent-streams",
        "Open HTTP/2 streams of one connection.",
        "The flag --max-concurrent-streams sets it; its default is the same.",
    ),
    inert(
        "client-header-buffer-size",
        "First buffer for a request head.",
        "Heads are read into a buffer that grows up to the limit.",
    ),
    inert("proxy-buffers-number", "Number of buffers for a response.", BUFFERS),
    inert("proxy-busy-buffers-size", "Size of the buffers that are being sent.", BUFFERS),
    inert("proxy-max-temp-file-size", "Size of the file that a response may be buffered in.", BUFFERS),
    inert("grpc-buffer-size-kb", "Buffer for gRPC responses.", BUFFERS),
    inert("worker-processes", "Number of nginx's workers.", WORKERS),
    inert("worker-cpu-affinity", "Processors of nginx's workers.", WORKERS),
    inert(
        "max-worker-connections",
        "Connections of one worker.",
        "--max-connections limits them for the whole gateway.",
    ),
    inert("max-worker-open-files", "Open files of one worker.", "The process's own limit holds."),
    inert("enable-multi-accept", "Accepts several connections at a time.", WORKERS),
    inert("enable-serial-reloads", "One reload after the other.", "Nothing is ever reloaded."),
    inert("reuse-port", "One socket for each worker.", "Each worker always has its own."),
    inert("bind-address", "Addresses to listen on.", "The flag --bind-address sets one."),
    inert("bind-address-ipv4", "IPv4 addresses to listen on.", "The flag --bind-address sets one."),
    inert("bind-address-ipv6", "IPv6 addresses to listen on.", "The flag --bind-address sets one."),
    inert("disable-ipv6", "Does not listen on IPv6.", "Set --bind-address 0.0.0.0."),
    inert(
        "disable-ipv6-dns",
        "Asks for no IPv6 addresses.",
        "Addresses of both families are used as the resolver gives them.",
    ),
    inert(
        "default-type",
        "Content-Type of files without one.",
        "The gateway serves no files; its own pages are text/html.",
    ),
    inert("upstream-keepalive-connections", "Idle connections to endpoints that a worker keeps.", POOL),
    inert("upstream-keepalive-time", "Age of a connection to an endpoint.", POOL),
    inert("upstream-keepalive-timeout", "How long a connection to an endpoint may be idle.", POOL),
    inert("upstream-keepalive-requests", "Requests of one connection to an endpoint.", POOL),
    inert("ssl-session-cache", "Keeps TLS sessions.", SESSIONS),
    inert("ssl-session-cache-size", "Size of the kept TLS sessions.", SESSIONS),
    inert("ssl-session-timeout", "Age of a TLS session.", SESSIONS),
    inert("ssl-session-tickets", "Resumes TLS sessions by tickets.", SESSIONS),
    inert("ssl-session-ticket-key", "Key of the tickets.", SESSIONS),
    inert("ssl-buffer-size", "Size of a TLS record.", "Records grow with what is sent."),
    inert("ssl-dh-param", "Parameters of finite-field key exchange.", "Keys are exchanged over elliptic curves only."),
    inert("ssl-early-data", "Takes requests before the handshake has ended.", "Never: they can be replayed."),
    refused("ssl-ecdh-curve", "Curves of the key exchange.", TLS),
    refused(
        "enable-ocsp",
        "Staples OCSP answers.",
        "Certificate authorities are ending OCSP; use short-lived certificates.",
    ),
    refused(
        "ssl-reject-handshake",
        "Refuses TLS for unknown hosts.",
        "The default certificate serves; the request gets 404 unless a rule takes it.",
    ),
    refused("enable-modsecurity", "Web application firewall.", WAF),
    refused("enable-owasp-modsecurity-crs", "Loads the OWASP rules.", WAF),
    refused("modsecurity-snippet", "Rules for ModSecurity.", WAF),
    refused("use-geoip", "GeoIP variables.", GEOIP),
    refused("use-geoip2", "GeoIP variables.", GEOIP),
    refused("geoip2-autoreload-in-minutes", "Reads the GeoIP database anew.", GEOIP),
    refused("main-snippet", "Text for nginx.conf.", SNIPPET),
    refused("http-snippet", "Text for nginx.conf.", SNIPPET),
    refused("server-snippet", "Text for nginx.conf.", SNIPPET),
    refused("location-snippet", "Text for nginx.conf.", SNIPPET),
    refused("stream-snippet", "Text for nginx.conf.", SNIPPET),
    inert(
        "allow-snippet-annotations",
        "Takes text for nginx.conf from annotations.",
        "The flag --translate-snippets decides.",
    ),
    inert("annotations-risk-level", "Highest risk of annotations that are taken.", GUARD),
    inert("annotation-value-word-blocklist", "Words that annotations must not hold.", GUARD),
    inert("strict-validate-path-type", "Refuses unusual characters in paths.", GUARD),
    inert("stream-access-log-path", "File of the log of TCP and UDP.", STREAM),
    inert("access-log-params", "Buffering of the access log.", LOG_FILE),
    inert("error-log-path", "File of the error log.", "The log goes to standard error."),
    inert("error-log-level", "Level of the error log.", "The flag --log-level sets it."),
    inert("log-format-stream", "Form of the log of TCP and UDP.", STREAM),
    inert("disable-stream-access-log", "No log of TCP and UDP.", STREAM),
    inert(
        "enable-auth-access-log",
        "Logs the requests to the authentication service, too.",
        "Only clients' requests are logged; the status of those that did not pass is in their line.",
    ),
    refused("enable-syslog", "Sends logs to a syslog server.", SYSLOG),
    refused("syslog-host", "The syslog server.", SYSLOG),
    refused("syslog-port", "The syslog server's port.", SYSLOG),
    inert(
        "forwarded-for-proxy-protocol-header",
        "Field with the PROXY protocol's address.",
        "With use-forwarded-headers and use-proxy-protocol the PROXY address is the peer that is believed or not.",
    ),
    inert("gzip-disable", "User agents that get no gzip.", "Browsers that needed it are gone."),
    refused("opentelemetry-config", "Configuration of the tracer.", OTEL),
    inert("jaeger-collector-host", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-collector-port", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-endpoint", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-service-name", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-propagation-format", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-sampler-type", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-sampler-param", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-sampler-host", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-sampler-port", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-trace-context-header-name", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-debug-header", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-baggage-header", "Tracing with Jaeger.", JAEGER),
    inert("jaeger-tracer-baggage-header-prefix", "Tracing with Jaeger.", JAEGER),
];
