//! When a request may be tried on another endpoint, how often, and how much of the traffic retries may be.
use std::time::Duration;

use http::Method;

use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support, boolean, duration};

/// What makes a try fail, as `proxy-next-upstream` names it. A set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions(u16);

impl Conditions {
    /// Nothing.
    pub const OFF: Self = Self(0);
    /// The connection could not be made, or it ended before the answer began.
    pub const ERROR: Self = Self(1);
    /// The connect timeout, the read timeout or the try timeout ran out before the answer began.
    pub const TIMEOUT: Self = Self(1 << 1);
    /// What came is no HTTP answer.
    pub const INVALID_HEADER: Self = Self(1 << 2);
    /// Also methods that may have an effect of their own each time they arrive.
    pub const NON_IDEMPOTENT: Self = Self(1 << 3);

    const STATUSES: [u16; 7] = [500, 502, 503, 504, 403, 404, 429];

    /// The set that a status is, if it can be listed.
    #[must_use]
    pub fn status(status: u16) -> Option<Self> {
        let index = Self::STATUSES.iter().position(|listed| *listed == status)?;
        Some(Self(1 << (4 + index)))
    }

    /// Is all of `other` listed?
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Is a status listed?
    #[must_use]
    pub fn lists(self, status: u16) -> bool {
        Self::status(status).is_some_and(|status| self.contains(status))
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut set = Self::OFF;
        let mut off = false;
        for word in text.split_ascii_whitespace() {
            let one = match word {
                "error" => Self::ERROR,
                "timeout" => Self::TIMEOUT,
                "invalid_header" => Self::INVALID_HEADER,
                "non_idempotent" => Self::NON_IDEMPOTENT,
                "off" => {
                    off = true;
                    continue;
                }
                _ => word.strip_prefix("http_").and_then(|status| Self::status(status.parse().ok()?)).ok_or(
                    "has a word that is none of error, timeout, invalid_header, http_500, http_502, http_503, \
                     http_504, http_403, http_404, http_429, non_idempotent and off",
                )?,
            };
            set = set.with(one);
        }
        // As nginx has it, `off` wins over everything beside it.
        Ok(if off { Self::OFF } else { set })
    }
}

/// When and how often a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// What is tried again.
    pub on: Conditions,
    /// Tries in all, the first included; 0 for no limit but that of the gateway.
    pub tries: u16,
    /// No new try begins when so much time has passed since the first one.
    pub within: Option<Duration>,
    /// How long one try may take until its answer begins.
    pub try_timeout: Option<Duration>,
    /// Retries per hundred requests of the cluster.
    pub budget_percent: u16,
    /// Retries a second that are always allowed.
    pub budget_min: u16,
}

/// The defaults of ingress-nginx, and a budget of a fifth of the requests.
impl Default for Retry {
    fn default() -> Self {
        Self {
            on: Conditions(Conditions::ERROR.0 | Conditions::TIMEOUT.0),
            tries: 3,
            within: None,
            try_timeout: None,
            budget_percent: 20,
            budget_min: 3,
        }
    }
}

impl Retry {
    /// May a request be tried again after `why`? `sent` says that an endpoint may have seen it: then methods that nginx
    /// holds for not idempotent are left alone.
    #[must_use]
    pub fn allows(&self, why: Conditions, method: &Method, sent: bool) -> bool {
        let effective = matches!(method.as_str(), "POST" | "LOCK" | "PATCH");
        self.on.contains(why) && (!sent || !effective || self.on.contains(Conditions::NON_IDEMPOTENT))
    }
}

const ON: Key<Conditions> = Key {
    row: Row {
        name: "proxy-next-upstream",
        sentence: "What makes a request go to another endpoint: error, timeout, invalid_header, http_500, http_502, http_503, http_504, http_403, http_404, http_429; non_idempotent includes POST, LOCK and PATCH; off for nothing.",
        default: "error timeout",
        example: "error timeout http_503",
        support: Support::Honoured,
    },
    parse: Conditions::parse,
    on_error: OnError::Default,
};

const TRIES: Key<u16> = Key {
    row: Row {
        name: "proxy-next-upstream-tries",
        sentence: "How many tries a request has, the first included; 0 for no limit.",
        default: "3",
        example: "2",
        support: Support::Honoured,
    },
    parse: number,
    on_error: OnError::Default,
};

const WITHIN: Key<u16> = Key {
    row: Row {
        name: "proxy-next-upstream-timeout",
        sentence: "Seconds after which no new try begins; 0 for no limit.",
        default: "0",
        example: "10",
        support: Support::Honoured,
    },
    parse: number,
    on_error: OnError::Default,
};

const NON_IDEMPOTENT: Key<bool> = Key {
    row: Row {
        name: "retry-non-idempotent",
        sentence: "Tries POST, LOCK and PATCH again too.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const TRY_TIMEOUT: Key<Duration> = Key {
    row: Row {
        name: "ingora.io/try-timeout",
        sentence: "How long one try may take until its answer begins, as 500ms, 2s or 1m; also bounds the pauses of the answer.",
        default: "proxy-read-timeout",
        example: "2s",
        support: Support::Honoured,
    },
    parse: duration,
    on_error: OnError::Default,
};

const BUDGET: Key<u16> = Key {
    row: Row {
        name: "ingora.io/retry-budget-percent",
        sentence: "How many retries a Service may get for each hundred of its requests, 0 to 1000.",
        default: "20",
        example: "50",
        support: Support::Honoured,
    },
    parse: percent,
    on_error: OnError::Default,
};

const BUDGET_MIN: Key<u16> = Key {
    row: Row {
        name: "ingora.io/retry-budget-min",
        sentence: "How many retries a second a Service may get however few requests it has.",
        default: "3",
        example: "10",
        support: Support::Honoured,
    },
    parse: number,
    on_error: OnError::Default,
};

const GLOBAL_TRY_TIMEOUT: Key<Duration> = Key { row: Row { name: "try-timeout", ..TRY_TIMEOUT.row }, ..TRY_TIMEOUT };
const GLOBAL_BUDGET: Key<u16> = Key { row: Row { name: "retry-budget-percent", ..BUDGET.row }, ..BUDGET };
const GLOBAL_BUDGET_MIN: Key<u16> = Key { row: Row { name: "retry-budget-min", ..BUDGET_MIN.row }, ..BUDGET_MIN };

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&ON, &TRIES, &WITHIN, &TRY_TIMEOUT, &BUDGET, &BUDGET_MIN];

/// The keys of the ConfigMap that [`read`] takes.
pub(crate) const CONFIG: Keys =
    &[&ON, &TRIES, &WITHIN, &NON_IDEMPOTENT, &GLOBAL_TRY_TIMEOUT, &GLOBAL_BUDGET, &GLOBAL_BUDGET_MIN];

/// Reads the settings.
pub(crate) fn read(reader: &mut Reader<'_>) -> Retry {
    let default = Retry::default();
    let mut on = reader.take_or(&ON, &ON).unwrap_or(default.on);
    if on != Conditions::OFF && reader.config().get(&NON_IDEMPOTENT).unwrap_or(false) {
        on = on.with(Conditions::NON_IDEMPOTENT);
    }
    let within = reader.take_or(&WITHIN, &WITHIN).filter(|seconds| *seconds > 0);
    Retry {
        on,
        tries: reader.take_or(&TRIES, &TRIES).unwrap_or(default.tries),
        within: within.map(|seconds| Duration::from_secs(seconds.into())),
        try_timeout: reader.take_or(&TRY_TIMEOUT, &GLOBAL_TRY_TIMEOUT),
        budget_percent: reader.take_or(&BUDGET, &GLOBAL_BUDGET).unwrap_or(default.budget_percent),
        budget_min: reader.take_or(&BUDGET_MIN, &GLOBAL_BUDGET_MIN).unwrap_or(default.budget_min),
    }
}

fn number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More means nothing else.
    if digits { Ok(text.parse().unwrap_or(u16::MAX)) } else { Err("is not a whole number".to_owned()) }
}

fn percent(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| *number <= 1000);
    number.ok_or_else(|| "is not a whole number from 0 to 1000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::Config;

    fn retry(annotations: &[(&'static str, &'static str)], config: &[(&str, &str)]) -> Retry {
        let config = Config::new(config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        read(&mut Reader::new(annotations.iter().copied(), &config, &NoObjects))
    }

    #[test]
    fn without_a_word_failures_and_time_outs_are_tried_again() {
        let retry = retry(&[], &[]);
        assert!(retry.allows(Conditions::ERROR, &Method::GET, true));
        assert!(retry.allows(Conditions::TIMEOUT, &Method::PUT, true));
        assert!(!retry.allows(Conditions::INVALID_HEADER, &Method::GET, true));
        assert!(!retry.on.lists(503));
    }

    #[test]
    fn what_may_have_an_effect_is_sent_twice_only_when_asked_to() {
        for method in [Method::POST, Method::PATCH, Method::from_bytes(b"LOCK").unwrap()] {
            let plain = retry(&[], &[]);
            assert!(!plain.allows(Conditions::ERROR, &method, true), "{method}");
            assert!(plain.allows(Conditions::ERROR, &method, false), "{method} that nobody has seen");
            let asked = retry(&[("proxy-next-upstream", "error non_idempotent")], &[]);
            assert!(asked.allows(Conditions::ERROR, &method, true), "{method}");
            assert!(retry(&[], &[("retry-non-idempotent", "true")]).allows(Conditions::ERROR, &method, true));
        }
    }

    #[test]
    fn listed_statuses_replace_the_default() {
        let retry = retry(&[("proxy-next-upstream", "http_503 http_404")], &[]);
        assert!(retry.on.lists(503) && retry.on.lists(404) && !retry.on.lists(500) && !retry.on.lists(200));
        assert!(!retry.allows(Conditions::ERROR, &Method::GET, true));
    }

    #[test]
    fn off_wins_over_everything_else() {
        for retry in [
            retry(&[("proxy-next-upstream", "error off http_500")], &[]),
            retry(&[("proxy-next-upstream", "off")], &[("retry-non-idempotent", "true")]),
        ] {
            assert_eq!(retry.on, Conditions::OFF);
        }
    }

    #[test]
    fn the_config_map_gives_the_defaults() {
        let global = [
            ("proxy-next-upstream", "http_500"),
            ("proxy-next-upstream-tries", "7"),
            ("proxy-next-upstream-timeout", "9"),
        ];
        let all = retry(&[], &global);
        assert_eq!((all.on.lists(500), all.tries, all.within), (true, 7, Some(Duration::from_secs(9))));
        let own = retry(&[("proxy-next-upstream-tries", "1"), ("proxy-next-upstream-timeout", "0")], &global);
        assert_eq!((own.tries, own.within), (1, None));
    }

    #[test]
    fn nonsense_keeps_the_default() {
        for value in ["http_418", "error,timeout", "Error", "http_500;"] {
            assert_eq!(retry(&[("proxy-next-upstream", value)], &[]), Retry::default(), "{value}");
        }
        assert_eq!(
            retry(&[("proxy-next-upstream-tries", "-1"), ("ingora.io/retry-budget-percent", "1001")], &[]),
            Retry::default()
        );
    }
}
