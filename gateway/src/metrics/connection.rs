//! Client connections, TLS handshakes, and requests that were refused before they had a rule.
use prometheus::{IntCounter, IntGauge};

use super::label::{ByLabel, closed_label};
use super::register::Register;

closed_label! {
    /// Where a client connected to.
    Listener {
        /// The plain-text listener.
        Http = "http",
        /// The TLS listener.
        Https = "https",
    }
}

closed_label! {
    /// Which limit refused a connection.
    Refusal {
        /// Open connections in all.
        Global = "global",
        /// Open connections from one address.
        Source = "source",
    }
}

closed_label! {
    /// What became of a TLS handshake.
    Handshake {
        /// It succeeded.
        Ok = "ok",
        /// The two sides found no common ground, or the client left.
        Failed = "failed",
        /// The client took too long.
        Timeout = "timeout",
    }
}

closed_label! {
    /// Why a request was refused before it had a rule.
    BadRequest {
        /// Not HTTP.
        Malformed = "malformed",
        /// More bytes in the head than allowed.
        HeadTooLarge = "head_too_large",
        /// More fields than allowed.
        TooManyFields = "too_many_fields",
        /// The head took too long.
        HeadTimeout = "head_timeout",
        /// The length of the body has two readings.
        Framing = "framing",
        /// The host cannot be routed.
        Host = "host",
        /// The path cannot be routed.
        Path = "path",
        /// The path selects different rules depending on who reads it.
        Ambiguous = "ambiguous",
    }
}

/// Everything that is counted before a request has a rule.
pub(crate) struct Connections {
    open: ByLabel<Listener, IntGauge>,
    accepted: ByLabel<Listener, IntCounter>,
    refused: ByLabel<Refusal, IntCounter>,
    handshakes: ByLabel<Handshake, IntCounter>,
    bad_requests: ByLabel<BadRequest, IntCounter>,
}

impl Connections {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        let open = register.gauges("connections", "Open client connections.", &["listener"])?;
        let accepted = register.counters("connections_total", "Accepted client connections.", &["listener"])?;
        let refused = register.counters(
            "connections_refused_total",
            "Client connections that were closed because a limit was reached.",
            &["reason"],
        )?;
        let handshakes = register.counters("tls_handshakes_total", "TLS handshakes with clients.", &["result"])?;
        let bad_requests = register.counters(
            "bad_requests_total",
            "Requests that were refused before they had a rule.",
            &["reason"],
        )?;
        Ok(Self {
            open: ByLabel::new(|text| open.with_label_values(&[text])),
            accepted: ByLabel::new(|text| accepted.with_label_values(&[text])),
            refused: ByLabel::new(|text| refused.with_label_values(&[text])),
            handshakes: ByLabel::new(|text| handshakes.with_label_values(&[text])),
            bad_requests: ByLabel::new(|text| bad_requests.with_label_values(&[text])),
        })
    }

    /// Counts an accepted connection, which is open until the result is dropped.
    #[must_use = "the connection counts as open until this is dropped"]
    pub(crate) fn accept(&self, listener: Listener) -> OpenConnection {
        self.accepted.inc(listener);
        let open = self.open.get(listener).cloned();
        open.iter().for_each(IntGauge::inc);
        OpenConnection(open)
    }

    /// Counts a connection that a limit refused.
    pub(crate) fn refuse(&self, reason: Refusal) {
        self.refused.inc(reason);
    }

    /// Counts a TLS handshake.
    pub(crate) fn handshake(&self, result: Handshake) {
        self.handshakes.inc(result);
    }

    /// Counts a request that was refused before it had a rule.
    pub(crate) fn bad_request(&self, reason: BadRequest) {
        self.bad_requests.inc(reason);
    }
}

/// A client connection that counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Option<IntGauge>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.iter().for_each(IntGauge::dec);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::metrics::tests::lines;

    #[test]
    fn a_connection_is_open_until_it_is_dropped() {
        let metrics = Metrics::new().unwrap();
        let connection = metrics.connections.accept(Listener::Https);
        assert_eq!(lines(&metrics, "connections{")[1], r#"ingora_connections{listener="https"} 1"#);
        drop(connection);
        assert_eq!(lines(&metrics, "connections{")[1], r#"ingora_connections{listener="https"} 0"#);
        assert_eq!(lines(&metrics, "connections_total")[1], r#"ingora_connections_total{listener="https"} 1"#);
    }

    #[test]
    fn what_is_refused_is_counted_by_reason() {
        let metrics = Metrics::new().unwrap();
        metrics.connections.refuse(Refusal::Source);
        metrics.connections.handshake(Handshake::Timeout);
        metrics.connections.bad_request(BadRequest::HeadTooLarge);
        for line in [
            r#"ingora_connections_refused_total{reason="source"} 1"#,
            r#"ingora_tls_handshakes_total{result="timeout"} 1"#,
            r#"ingora_bad_requests_total{reason="head_too_large"} 1"#,
            r#"ingora_bad_requests_total{reason="host"} 0"#,
        ] {
            assert_eq!(lines(&metrics, line), [line]);
        }
    }
}
