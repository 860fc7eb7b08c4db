//! Client connections, TLS handshakes, and requests that were refused before they had a rule.
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

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
        /// An endpoint shakes hands with the client.
        Passed = "passed",
    }
}

closed_label! {
    /// The version of TLS that was agreed on.
    TlsVersion {
        /// RFC 8446.
        Tls13 = "TLSv1.3",
        /// RFC 5246.
        Tls12 = "TLSv1.2",
    }
}

closed_label! {
    /// The protocol inside of TLS (ALPN, RFC 7301); a client that names none gets HTTP/1.1.
    Alpn {
        /// HTTP/2.
        H2 = "h2",
        /// HTTP/1.1.
        Http1 = "http/1.1",
    }
}

/// What a finished TLS handshake came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TlsSession {
    pub(crate) version: TlsVersion,
    pub(crate) alpn: Alpn,
    /// The client came back with a ticket or a session, which saves both sides the certificate.
    pub(crate) resumed: bool,
}

/// The label of [`TlsSession::resumed`].
const RESUMED: [&str; 2] = ["false", "true"];

/// Seconds that a handshake takes: mostly the client's round trips.
const HANDSHAKE_BUCKETS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

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
        /// The PROXY protocol header is missing, malformed or late.
        ProxyHeader = "proxy_header",
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
    handshake_time: Histogram,
    sessions: ByLabel<TlsVersion, ByLabel<Alpn, [IntCounter; 2]>>,
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
        let handshake_time = register.histogram(
            "tls_handshake_duration_seconds",
            "Time that a successful TLS handshake took.",
            HANDSHAKE_BUCKETS,
        )?;
        let sessions = register.counters(
            "tls_sessions_total",
            "Successful TLS handshakes by what was agreed on.",
            &["version", "alpn", "resumed"],
        )?;
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
            handshake_time,
            sessions: ByLabel::new(|version| {
                ByLabel::new(|alpn| RESUMED.map(|resumed| sessions.with_label_values(&[version, alpn, resumed])))
            }),
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

    /// Counts and times a TLS handshake that succeeded.
    pub(crate) fn tls_session(&self, session: TlsSession, took: Duration) {
        self.handshakes.inc(Handshake::Ok);
        self.handshake_time.observe(took.as_secs_f64());
        let by_resumed = self.sessions.get(session.version).and_then(|by_alpn| by_alpn.get(session.alpn));
        if let Some([full, resumed]) = by_resumed {
            if session.resumed { resumed } else { full }.inc();
        }
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
    fn a_tls_session_is_counted_by_what_was_agreed_on() {
        let metrics = Metrics::new().unwrap();
        let session = TlsSession { version: TlsVersion::Tls12, alpn: Alpn::H2, resumed: true };
        metrics.connections.tls_session(session, Duration::from_millis(3));
        for line in [
            r#"ingora_tls_sessions_total{alpn="h2",resumed="true",version="TLSv1.2"} 1"#,
            r#"ingora_tls_sessions_total{alpn="h2",resumed="false",version="TLSv1.2"} 0"#,
            r#"ingora_tls_handshakes_total{result="ok"} 1"#,
            r#"ingora_tls_handshake_duration_seconds_bucket{le="0.005"} 1"#,
        ] {
            assert_eq!(lines(&metrics, line), [line]);
        }
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
