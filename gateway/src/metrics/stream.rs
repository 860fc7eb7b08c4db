//! Connections that pass as bytes, by protocol and port: bounded by what is configured.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use table::Transport;

use super::label::{ByLabel, ClosedLabel, closed_label};
use super::register::Register;

closed_label! {
    /// What passes.
    StreamKind {
        /// TLS that endpoints end.
        Tls = "tls",
        /// A TCP service.
        Tcp = "tcp",
        /// A UDP service; a session counts as a connection.
        Udp = "udp",
    }
}

closed_label! {
    /// What became of a connection.
    StreamOutcome {
        /// An endpoint has it.
        Ok = "ok",
        /// No endpoint could be reached.
        Unreachable = "unreachable",
        /// A limit refused it.
        Limited = "limited",
        /// The PROXY protocol header is missing, malformed or late.
        ProxyHeader = "proxy_header",
    }
}

closed_label! {
    /// Where bytes go.
    Direction {
        /// From clients to endpoints.
        Received = "received",
        /// From endpoints to clients.
        Sent = "sent",
    }
}

impl From<Transport> for StreamKind {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
        }
    }
}

/// The handle of one port.
pub(crate) struct StreamMetrics {
    open: IntGauge,
    connections: ByLabel<StreamOutcome, IntCounter>,
    bytes: ByLabel<Direction, IntCounter>,
}

impl StreamMetrics {
    /// Counts a connection.
    pub(crate) fn connection(&self, outcome: StreamOutcome) {
        self.connections.inc(outcome);
    }

    /// Counts an open connection until the result is dropped.
    #[must_use = "the connection counts as open until this is dropped"]
    pub(crate) fn open(&self) -> OpenStream {
        self.open.inc();
        OpenStream(self.open.clone())
    }

    /// Counts bytes to endpoints.
    pub(crate) fn received(&self, bytes: usize) {
        self.count(Direction::Received, bytes);
    }

    /// Counts bytes to clients.
    pub(crate) fn sent(&self, bytes: usize) {
        self.count(Direction::Sent, bytes);
    }

    fn count(&self, direction: Direction, bytes: usize) {
        if let Some(counter) = self.bytes.get(direction) {
            counter.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }
}

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream(IntGauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The handles of all ports.
pub(super) struct Streams {
    open: IntGaugeVec,
    connections: IntCounterVec,
    bytes: IntCounterVec,
    handles: Mutex<HashMap<(StreamKind, u16), Arc<StreamMetrics>>>,
}

impl Streams {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            open: register.gauges(
                "stream_connections",
                "Open connections that pass as bytes; UDP sessions, too.",
                &["protocol", "port"],
            )?,
            connections: register.counters(
                "stream_connections_total",
                "Connections that pass as bytes, by what became of them.",
                &["protocol", "port", "result"],
            )?,
            bytes: register.counters(
                "stream_bytes_total",
                "Bytes that were passed on, from clients (received) and to them (sent).",
                &["protocol", "port", "direction"],
            )?,
            handles: Mutex::default(),
        })
    }

    pub(super) fn get(&self, kind: StreamKind, port: u16) -> Arc<StreamMetrics> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let (kind, port) = (kind.as_str(), &*port.to_string());
            Arc::new(StreamMetrics {
                open: self.open.with_label_values(&[kind, port]),
                connections: ByLabel::new(|text| self.connections.with_label_values(&[kind, port, text])),
                bytes: ByLabel::new(|text| self.bytes.with_label_values(&[kind, port, text])),
            })
        };
        handles.entry((kind, port)).or_insert_with(make).clone()
    }

    pub(super) fn retire(&self, kind: StreamKind, port: u16) {
        let removed = self.handles.lock().unwrap_or_else(PoisonError::into_inner).remove(&(kind, port));
        if removed.is_none() {
            return;
        }
        let (kind, port) = (kind.as_str(), &*port.to_string());
        // All of them were made together; one that is gone already is what is wanted.
        drop(self.open.remove_label_values(&[kind, port]));
        for text in StreamOutcome::TEXTS {
            drop(self.connections.remove_label_values(&[kind, port, text]));
        }
        for text in Direction::TEXTS {
            drop(self.bytes.remove_label_values(&[kind, port, text]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::metrics::tests::lines;

    #[test]
    fn a_port_is_published_until_it_retires() {
        let metrics = Metrics::new().unwrap();
        let stream = metrics.stream(StreamKind::Tcp, 9000);
        let open = stream.open();
        stream.connection(StreamOutcome::Ok);
        stream.received(7);
        for line in [
            r#"ingora_stream_connections{port="9000",protocol="tcp"} 1"#,
            r#"ingora_stream_connections_total{port="9000",protocol="tcp",result="ok"} 1"#,
            r#"ingora_stream_bytes_total{direction="received",port="9000",protocol="tcp"} 7"#,
        ] {
            assert_eq!(lines(&metrics, line), [line]);
        }
        drop(open);
        assert_eq!(
            lines(&metrics, "stream_connections{"),
            [r#"ingora_stream_connections{port="9000",protocol="tcp"} 0"#]
        );
        metrics.retire_stream(StreamKind::Tcp, 9000);
        assert_eq!(lines(&metrics, "9000"), [""; 0]);
    }
}
