//! Limits and timeouts of client connections. A key that is set takes the place of the flag that says the same.
use std::time::Duration;

use crate::Keys;
use crate::annotation::{Config, Key, OnError, Row, Support, boolean};
use crate::units::{duration, number, size};

const KEEP_ALIVE: Key<Duration> = Key {
    row: Row {
        name: "keep-alive",
        sentence: "How long an idle client connection stays open; 0 closes it after each request.",
        default: "the flag --keep-alive (75s)",
        example: "30",
        support: Support::Honoured,
    },
    parse: duration,
    on_error: OnError::Default,
};

const REQUESTS: Key<u32> = Key {
    row: Row {
        name: "keep-alive-requests",
        sentence: "Requests before a client connection is closed (HTTP/1).",
        default: "the flag --max-requests-per-connection",
        example: "1000",
        support: Support::Approximated("ingress-nginx closes HTTP/2 connections after as many requests, too."),
    },
    parse: number,
    on_error: OnError::Default,
};

const HEADER_TIMEOUT: Key<Duration> = Key {
    row: Row {
        name: "client-header-timeout",
        sentence: "How long a whole request head may take.",
        default: "the flag --client-header-timeout",
        example: "60",
        support: Support::Honoured,
    },
    parse: duration,
    on_error: OnError::Default,
};

const BODY_TIMEOUT: Key<Duration> = Key {
    row: Row {
        name: "client-body-timeout",
        sentence: "How long a client may pause within a request body (HTTP/1).",
        default: "the flag --client-body-timeout (60s)",
        example: "60",
        support: Support::Honoured,
    },
    parse: duration,
    on_error: OnError::Default,
};

const LARGE_BUFFERS: Key<usize> = Key {
    row: Row {
        name: "large-client-header-buffers",
        sentence: "Number and size of the buffers for a request head; their product limits the head.",
        default: "the flag --max-request-head (32 KiB)",
        example: "4 8k",
        support: Support::Approximated("ingress-nginx limits each single line to one buffer as well."),
    },
    parse: buffers,
    on_error: OnError::Default,
};

const HTTP2: Key<bool> = Key {
    row: Row {
        name: "use-http2",
        sentence: "Offers HTTP/2 to clients over TLS.",
        default: "true",
        example: "false",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const SHUTDOWN: Key<Duration> = Key {
    row: Row {
        name: "worker-shutdown-timeout",
        sentence: "How long requests in flight may take when the gateway ends.",
        default: "the flag --drain-timeout (240s)",
        example: "240s",
        support: Support::Honoured,
    },
    parse: duration,
    on_error: OnError::Default,
};

/// The keys that [`Connections::read`] takes.
pub(crate) const CONFIG: Keys =
    &[&KEEP_ALIVE, &REQUESTS, &HEADER_TIMEOUT, &BODY_TIMEOUT, &LARGE_BUFFERS, &HTTP2, &SHUTDOWN];

/// What the ConfigMap says about client connections; `None` leaves it to the flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// An idle connection; zero closes after each request.
    pub keep_alive: Option<Duration>,
    /// Requests of one connection, at least 1.
    pub requests: Option<u32>,
    /// A whole request head.
    pub head_timeout: Option<Duration>,
    /// Between two reads of a request body.
    pub body_timeout: Option<Duration>,
    /// Bytes of a request head.
    pub head_bytes: Option<usize>,
    /// HTTP/2 is offered over TLS.
    pub http2: bool,
    /// Requests in flight at the end.
    pub drain: Option<Duration>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            keep_alive: None,
            requests: None,
            head_timeout: None,
            body_timeout: None,
            head_bytes: None,
            http2: true,
            drain: None,
        }
    }
}

impl Connections {
    pub(crate) fn read(config: &Config) -> Self {
        let positive = |time: &Duration| !time.is_zero();
        Self {
            keep_alive: config.get(&KEEP_ALIVE),
            requests: config.get(&REQUESTS).map(|requests| requests.max(1)),
            head_timeout: config.get(&HEADER_TIMEOUT).filter(positive),
            body_timeout: config.get(&BODY_TIMEOUT).filter(positive),
            head_bytes: config.get(&LARGE_BUFFERS),
            http2: config.get(&HTTP2).unwrap_or(true),
            drain: config.get(&SHUTDOWN).filter(positive),
        }
    }
}

/// `number size`; their product in bytes.
fn buffers(text: &str) -> Result<usize, String> {
    let wrong = || "is not a number and a size such as 4 8k, together 1 KiB to 1 MiB".to_owned();
    let (count, bytes) = text.split_once(' ').ok_or_else(wrong)?;
    let total = u64::from(number(count)?).checked_mul(size(bytes.trim())?).ok_or_else(wrong)?;
    usize::try_from(total).ok().filter(|total| (1024..=1024 * 1024).contains(total)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_set_take_the_place_of_flags() {
        let pairs = [("keep-alive", "30"), ("large-client-header-buffers", "4 16k"), ("use-http2", "false")];
        let connections = Connections::read(&Config::new(pairs.map(|(a, b)| (a.to_owned(), b.to_owned()))));
        assert_eq!(connections.keep_alive, Some(Duration::from_secs(30)));
        assert_eq!(connections.head_bytes, Some(65_536));
        assert!(!connections.http2 && connections.requests.is_none());
    }

    #[test]
    fn buffers_of_no_sensible_size_are_refused() {
        for text in ["4", "4 8x", "0 8k", "4096 4096k", "8k 4"] {
            assert!(buffers(text).is_err(), "{text}");
        }
    }
}
