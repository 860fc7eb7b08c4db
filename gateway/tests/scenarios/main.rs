//! Real sockets, real protocols: one module per promise to the user.

#[cfg(test)]
mod access;
#[cfg(test)]
mod access_log;
#[cfg(test)]
mod access_log_nginx;
#[cfg(test)]
mod affinity;
#[cfg(test)]
mod answer_fields;
#[cfg(test)]
mod backend_tls;
#[cfg(test)]
mod balancing;
#[cfg(test)]
mod broken_backends;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod canonical_path;
#[cfg(test)]
mod circuit_breaking;
#[cfg(test)]
mod client_certificates;
#[cfg(test)]
mod compression;
#[cfg(test)]
mod connect_retry;
#[cfg(test)]
mod continue_100;
#[cfg(test)]
mod default_backend;
#[cfg(test)]
mod ejection;
#[cfg(test)]
mod endpoint_churn;
#[cfg(test)]
mod error_pages;
#[cfg(test)]
mod external_auth;
#[cfg(test)]
mod forwarded_headers;
#[cfg(test)]
mod further_hosts;
#[cfg(test)]
mod gather;
#[cfg(test)]
mod global_settings;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod head_requests;
#[cfg(test)]
mod health_check;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod keep_alive;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod malformed_requests;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod mirror;
#[cfg(test)]
mod misbehaving_pods;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod passthrough;
#[cfg(test)]
mod pooled_connections;
#[cfg(test)]
mod rate_limits;
#[cfg(test)]
mod readiness;
#[cfg(test)]
mod real_ip;
#[cfg(test)]
mod redirect;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod rewrite;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod slow_clients;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod table_swap;
#[cfg(test)]
mod tls_certificates;
#[cfg(test)]
mod tls_hot_swap;
#[cfg(test)]
mod tls_suites;
#[cfg(test)]
mod trace_context;
#[cfg(test)]
mod upstream_protocols;
#[cfg(test)]
mod websocket;
