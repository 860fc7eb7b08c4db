//! Keys of the ConfigMap that ingress-nginx itself has dropped.
use super::{inert, refused};
use crate::annotation::Key;

const GONE: &str = "ingress-nginx itself no longer reads it; remove it.";
const TRACER: &str = "ingress-nginx itself no longer reads it; remove it, and trace in the services.";
const SHARED_LIMIT: &str = "ingress-nginx itself no longer has limits over all replicas; use limit-rps and limit-rpm.";
const LUA: &str = "There is no Lua; use the annotation that does the same, or do it in the service.";

/// All of them, by area.
pub(super) const KEYS: &[Key<()>] = &[
    refused("plugins", "Lua plugins.", LUA),
    inert("enable-dynamic-tls-records", "Sizes TLS records by the age of the connection.", GONE),
    inert("enable-vts-status", "Figures of the vts module.", GONE),
    inert("vts-status-zone-size", "Memory of the vts module.", GONE),
    inert("upstream-max-fails", "Failures after which an endpoint is left out for a time.", GONE),
    inert("enable-opentracing", "Tracing with OpenTracing.", TRACER),
    inert("opentracing-operation-name", "Tracing with OpenTracing.", TRACER),
    inert("opentracing-location-operation-name", "Tracing with OpenTracing.", TRACER),
    inert("opentracing-trust-incoming-span", "Tracing with OpenTracing.", TRACER),
    inert("zipkin-collector-host", "Tracing with Zipkin.", TRACER),
    inert("zipkin-collector-port", "Tracing with Zipkin.", TRACER),
    inert("zipkin-service-name", "Tracing with Zipkin.", TRACER),
    inert("zipkin-sample-rate", "Tracing with Zipkin.", TRACER),
    inert("datadog-collector-host", "Tracing with Datadog.", TRACER),
    inert("datadog-collector-port", "Tracing with Datadog.", TRACER),
    inert("datadog-service-name", "Tracing with Datadog.", TRACER),
    inert("datadog-environment", "Tracing with Datadog.", TRACER),
    inert("datadog-operation-name-override", "Tracing with Datadog.", TRACER),
    inert("datadog-priority-sampling", "Tracing with Datadog.", TRACER),
    inert("datadog-sample-rate", "Tracing with Datadog.", TRACER),
    inert("jaeger-trace-baggage-header-prefix", "Tracing with Jaeger.", TRACER),
    refused("global-rate-limit-memcached-host", "Limits over all replicas.", SHARED_LIMIT),
    refused("global-rate-limit-memcached-port", "Limits over all replicas.", SHARED_LIMIT),
    refused("global-rate-limit-memcached-connect-timeout", "Limits over all replicas.", SHARED_LIMIT),
    refused("global-rate-limit-memcached-max-idle-timeout", "Limits over all replicas.", SHARED_LIMIT),
    refused("global-rate-limit-memcached-pool-size", "Limits over all replicas.", SHARED_LIMIT),
    refused("global-rate-limit-status-code", "Limits over all replicas.", SHARED_LIMIT),
];
