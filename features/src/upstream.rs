//! How to talk to endpoints: protocol and timeouts.
use std::time::Duration;

use crate::annotation::{Key, OnError, Reader, Row, Support, duration, seconds};
use crate::route::{Protocol, Upstream};
use crate::units::size;
use crate::{Keys, body_size, request_body, retry, upstream_tls};

const PROTOCOL: Key<Option<Protocol>> = Key {
    row: Row {
        name: "backend-protocol",
        sentence: "Protocol towards the endpoints: HTTP, HTTPS (both HTTP/1.1), GRPC (HTTP/2 without TLS), GRPCS (HTTP/2 over TLS) or AUTO_HTTP (HTTPS if the client came over HTTPS), in any case; with FCGI the paths answer 503.",
        default: "the appProtocol of the Service port, else HTTP",
        example: "GRPC",
        support: Support::Honoured,
    },
    parse: |text| match text.to_ascii_uppercase().as_str() {
        "HTTP" => Ok(Some(Protocol::Http)),
        "HTTPS" => Ok(Some(Protocol::Https)),
        "GRPC" => Ok(Some(Protocol::H2c)),
        "GRPCS" => Ok(Some(Protocol::H2)),
        "AUTO_HTTP" => Ok(Some(Protocol::Auto)),
        "FCGI" => Ok(None),
        _ => Err("is none of HTTP, HTTPS, GRPC, GRPCS and AUTO_HTTP".to_owned()),
    },
    on_error: OnError::Default,
};

const CONNECT: Key<Duration> = Key {
    row: Row {
        name: "proxy-connect-timeout",
        sentence: "Seconds to wait for a connection to an endpoint.",
        default: "5",
        example: "2",
        support: Support::Honoured,
    },
    parse: seconds,
    on_error: OnError::Default,
};

const READ: Key<Duration> = Key {
    row: Row {
        name: "proxy-read-timeout",
        sentence: "Seconds to wait between two reads from an endpoint.",
        default: "60",
        example: "3600",
        support: Support::Honoured,
    },
    parse: seconds,
    on_error: OnError::Default,
};

const SEND: Key<Duration> = Key {
    row: Row {
        name: "proxy-send-timeout",
        sentence: "Seconds to wait between two writes to an endpoint.",
        default: "60",
        example: "120",
        support: Support::Honoured,
    },
    parse: seconds,
    on_error: OnError::Default,
};

const REQUEST: Key<Duration> = Key {
    row: Row {
        name: "ingora.io/request-timeout",
        sentence: "How long a request may take from its head to the end of its answer, tries included, as 500ms, 30s or 5m.",
        default: "no limit",
        example: "30s",
        support: Support::Honoured,
    },
    parse: duration,
    on_error: OnError::Default,
};

const UPGRADE_IDLE: Key<Duration> = Key {
    row: Row {
        name: "ingora.io/upgrade-idle-timeout",
        sentence: "How long both sides of a WebSocket, or of another connection that changed its protocol, may be silent.",
        default: "proxy-read-timeout",
        example: "1h",
        support: Support::Honoured,
    },
    parse: duration,
    on_error: OnError::Default,
};

const HEAD: Key<u64> = Key {
    row: Row {
        name: "proxy-buffer-size",
        sentence: "How large the head of an answer may be, in bytes or with `k` or `m`; a larger one is 502, or another try \
                   with `invalid_header` in `proxy-next-upstream`.",
        default: "1m, which is the most",
        example: "16k",
        support: Support::Honoured,
    },
    parse: |text| match size(text) {
        Ok(0) => Err("is 0; write a size such as 8k".to_owned()),
        read => read,
    },
    on_error: OnError::Default,
};

const VERSION: Key<bool> = Key {
    row: Row {
        name: "proxy-http-version",
        sentence: "Version of HTTP towards endpoints: 1.0 or 1.1. With 1.0 each request has a connection of its own.",
        default: "1.1",
        example: "1.0",
        support: Support::Honoured,
    },
    parse: |text| match text {
        "1.0" => Ok(true),
        "1.1" => Ok(false),
        _ => Err("is neither 1.0 nor 1.1".to_owned()),
    },
    on_error: OnError::Default,
};

const GLOBAL_REQUEST: Key<Duration> = Key { row: Row { name: "request-timeout", ..REQUEST.row }, ..REQUEST };
const GLOBAL_UPGRADE_IDLE: Key<Duration> =
    Key { row: Row { name: "upgrade-idle-timeout", ..UPGRADE_IDLE.row }, ..UPGRADE_IDLE };

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&PROTOCOL, &CONNECT, &READ, &SEND, &REQUEST, &UPGRADE_IDLE, &HEAD, &VERSION];

/// The keys of the ConfigMap that [`read`] takes.
pub(crate) const CONFIG: Keys = &[&CONNECT, &READ, &SEND, &GLOBAL_REQUEST, &GLOBAL_UPGRADE_IDLE, &HEAD, &VERSION];

/// Reads the settings; `protocol` is what the Service port asks for.
pub(crate) fn read(reader: &mut Reader<'_>, protocol: Protocol) -> Upstream {
    let default = Upstream::default();
    let asked = reader.take(&PROTOCOL);
    if asked == Some(None) {
        let why = "asks for FCGI, which is not spoken, so the paths of this Ingress answer 503; put an HTTP server \
                   in front of the application";
        reader.close(PROTOCOL.row.name, why);
    }
    let protocol = asked.flatten().unwrap_or(protocol);
    Upstream {
        protocol,
        connect_timeout: reader.take_or(&CONNECT, &CONNECT).unwrap_or(default.connect_timeout),
        read_timeout: reader.take_or(&READ, &READ).unwrap_or(default.read_timeout),
        send_timeout: reader.take_or(&SEND, &SEND).unwrap_or(default.send_timeout),
        request_timeout: reader.take_or(&REQUEST, &GLOBAL_REQUEST),
        upgrade_idle: reader.take_or(&UPGRADE_IDLE, &GLOBAL_UPGRADE_IDLE),
        retry: retry::read(reader),
        tls: upstream_tls::read(reader, protocol),
        max_head: reader.take_or(&HEAD, &HEAD),
        http_10: reader.take_or(&VERSION, &VERSION).unwrap_or(false),
        max_body: body_size::read(reader),
        // As nginx, which never does so for gRPC.
        gather: request_body::read(reader).filter(|_| !protocol.speaks_http2_only()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::Config;

    #[test]
    fn the_annotation_beats_the_service_port() {
        let config = Config::default();
        let mut reader = Reader::new([("backend-protocol", "https")], &config, &NoObjects);
        assert_eq!(read(&mut reader, Protocol::H2c).protocol, Protocol::Https);
        assert_eq!(read(&mut Reader::new([], &config, &NoObjects), Protocol::H2c).protocol, Protocol::H2c);
    }

    #[test]
    fn heads_of_answers_have_a_size() {
        let config = Config::new([("proxy-buffer-size".to_owned(), "8k".to_owned())]);
        let of = |annotations: &[(&'static str, &'static str)], config: &Config| {
            read(&mut Reader::new(annotations.iter().copied(), config, &NoObjects), Protocol::Http).max_head
        };
        assert_eq!(of(&[], &Config::default()), None);
        assert_eq!(of(&[], &config), Some(8192));
        assert_eq!(of(&[("proxy-buffer-size", "128k")], &config), Some(131_072));
        for wrong in ["0", "-1", "1.5k", "k", "big"] {
            assert_eq!(of(&[("proxy-buffer-size", wrong)], &Config::default()), None, "{wrong}");
        }
    }

    #[test]
    fn the_config_map_gives_timeouts_to_rules_without_their_own() {
        let config = [("proxy-read-timeout", "7"), ("proxy-connect-timeout", "8"), ("request-timeout", "9s")];
        let config = Config::new(config.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut reader = Reader::new([("proxy-connect-timeout", "3")], &config, &NoObjects);
        let upstream = read(&mut reader, Protocol::Http);
        assert_eq!((upstream.read_timeout.as_secs(), upstream.connect_timeout.as_secs()), (7, 3));
        assert_eq!(upstream.request_timeout, Some(Duration::from_secs(9)));
    }

    #[test]
    fn the_version_is_one_of_two() {
        let config = Config::new([("proxy-http-version".to_owned(), "1.0".to_owned())]);
        for (annotation, old) in [("1.0", true), ("1.1", false), ("2.0", true)] {
            let mut reader = Reader::new([("proxy-http-version", annotation)], &config, &NoObjects);
            assert_eq!(read(&mut reader, Protocol::Http).http_10, old, "{annotation}");
        }
    }

    #[test]
    fn fast_cgi_closes() {
        let config = Config::default();
        let mut reader = Reader::new([("backend-protocol", "FCGI")], &config, &NoObjects);
        read(&mut reader, Protocol::Http);
        assert_eq!(reader.finish()[0].effect, OnError::Close);
    }

    #[test]
    fn a_timeout_with_a_unit_keeps_the_default() {
        let config = Config::default();
        let annotations = [("proxy-read-timeout", "90s"), ("proxy-send-timeout", "90")];
        let mut reader = Reader::new(annotations, &config, &NoObjects);
        let upstream = read(&mut reader, Protocol::Http);
        assert_eq!((upstream.read_timeout.as_secs(), upstream.send_timeout.as_secs()), (60, 90));
        assert_eq!(reader.finish().len(), 1);
    }
}
