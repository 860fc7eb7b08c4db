//! The access log: the form of its lines, where they go, and which requests have none.
use std::sync::{Arc, LazyLock};

use super::GlobalReader;
use crate::annotation::{Config, Key, OnError, Row, Support, boolean};
use crate::block::Matchers;
use crate::{Keys, LogFormat};

const fn flag(name: &'static str, sentence: &'static str, default: &'static str, support: Support) -> Key<bool> {
    let row = Row { name, sentence, default, example: "true", support };
    Key { row, parse: boolean, on_error: OnError::Default }
}

const FORMAT: Key<LogFormat> = Key {
    row: Row {
        name: "log-format-upstream",
        sentence: "The form of the access log's lines, with nginx variables.",
        default: "the flag --access-log-format",
        example: "$remote_addr \"$request\" $status $upstream_response_time",
        support: Support::Approximated("Variables that are not known here are told of and written as absent ones are."),
    },
    parse: LogFormat::parse,
    on_error: OnError::Default,
};

const ESCAPE_JSON: Key<bool> = flag(
    "log-format-escape-json",
    "Escapes variables in the access log for JSON; absent ones are empty.",
    "false",
    Support::Honoured,
);

const ESCAPE_NONE: Key<bool> = flag(
    "log-format-escape-none",
    "Writes variables into the access log as they are; absent ones are empty.",
    "false",
    Support::Approximated("Control characters stay escaped, so that no client can write lines of its own."),
);

const DISABLE: Key<bool> = flag("disable-access-log", "Writes no access log.", "false", Support::Honoured);

const DISABLE_HTTP: Key<bool> = flag("disable-http-access-log", "Writes no access log.", "false", Support::Honoured);

const DEFAULT_BACKEND: Key<bool> = flag(
    "enable-access-log-for-default-backend",
    "Logs requests that no rule matches.",
    "true",
    Support::Approximated("The default of ingress-nginx is false."),
);

const SKIP: Key<Matchers> = Key {
    row: Row {
        name: "skip-access-log-urls",
        sentence: "Paths with their queries that are not logged: whole ones between commas, in any case, or regular expressions after `~` or `~*`.",
        default: "none",
        example: "/health,~^/metrics",
        support: Support::Honoured,
    },
    parse: Matchers::parse,
    on_error: OnError::Default,
};

const fn path(name: &'static str) -> Key<LogTarget> {
    let row = Row {
        name,
        sentence: "File that the access log is appended to; SIGUSR1 opens it anew.",
        default: "standard output",
        example: "/var/log/ingora/access.log",
        support: Support::Approximated(
            "A file that cannot be opened is told of in the log, and standard output gets the lines.",
        ),
    };
    Key { row, parse: LogTarget::parse, on_error: OnError::Default }
}

const PATH: Key<LogTarget> = path("access-log-path");
const HTTP_PATH: Key<LogTarget> = path("http-access-log-path");

/// The keys that [`Logging::read`] takes.
pub(crate) const CONFIG: Keys =
    &[&FORMAT, &ESCAPE_JSON, &ESCAPE_NONE, &DISABLE, &DISABLE_HTTP, &DEFAULT_BACKEND, &SKIP, &PATH, &HTTP_PATH];

/// How variables are escaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// Quotes, backslashes, and all that is not printable ASCII as `\xXX`; absent ones are `-`.
    #[default]
    Default,
    /// For a JSON text; absent ones are empty.
    Json,
    /// Control characters only, as `\xXX`; absent ones are empty.
    None,
}

/// Where lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// To standard output.
    #[default]
    Stdout,
    /// To standard error.
    Stderr,
    /// To the end of a file.
    File(Arc<str>),
}

impl LogTarget {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            // In ingress-nginx's image the first is a link to the second.
            "/var/log/nginx/access.log" | "/dev/stdout" => Ok(Self::Stdout),
            "/dev/stderr" => Ok(Self::Stderr),
            _ if text.starts_with('/') && text.len() < 4096 && !text.chars().any(char::is_control) => {
                Ok(Self::File(text.into()))
            }
            _ => Err("is not an absolute path".to_owned()),
        }
    }
}

/// What the ConfigMap says about the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The form of lines; `None` leaves it to the flag.
    pub format: Option<Arc<LogFormat>>,
    /// How variables are escaped.
    pub escape: Escape,
    /// Where lines go.
    pub target: LogTarget,
    /// Nothing is logged.
    pub off: bool,
    /// Requests that no rule matches are logged.
    pub unmatched: bool,
    skip: Option<Matchers>,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            format: None,
            escape: Escape::Default,
            target: LogTarget::Stdout,
            off: false,
            unmatched: true,
            skip: None,
        }
    }
}

static UPSTREAMINFO: LazyLock<LogFormat> = LazyLock::new(LogFormat::upstreaminfo);

impl Logging {
    pub(super) fn read(reader: &mut GlobalReader<'_>) -> Self {
        let config = reader.config;
        let format = config.get(&FORMAT).map(Arc::new);
        if let Some(names) = format.as_deref().and_then(unknown) {
            reader.report(
                FORMAT.row.name,
                format!("has variables that are not known and are written as absent: {names}"),
            );
        }
        Self {
            format,
            escape: escape(config),
            target: config.get(&HTTP_PATH).or_else(|| config.get(&PATH)).unwrap_or_default(),
            off: config.get(&DISABLE) == Some(true) || config.get(&DISABLE_HTTP) == Some(true),
            unmatched: config.get(&DEFAULT_BACKEND).unwrap_or(true),
            skip: config.get(&SKIP),
        }
    }

    /// The form of lines with nginx variables: the ConfigMap's, or else ingress-nginx's default.
    #[must_use]
    pub fn nginx(&self) -> &LogFormat {
        self.format.as_deref().unwrap_or_else(|| &UPSTREAMINFO)
    }

    /// Is a request logged, as far as this says? `target` is its path and query as sent.
    #[must_use]
    pub fn logs(&self, matched: bool, target: &str) -> bool {
        !self.off
            && (matched || self.unmatched)
            && !self.skip.as_ref().is_some_and(|skip| skip.matches(target.as_bytes()))
    }
}

fn escape(config: &Config) -> Escape {
    match (config.get(&ESCAPE_JSON), config.get(&ESCAPE_NONE)) {
        (Some(true), _) => Escape::Json,
        (_, Some(true)) => Escape::None,
        _ => Escape::Default,
    }
}

/// The variables that a form should not have; not more than a reader would read.
fn unknown(format: &LogFormat) -> Option<String> {
    let mut names: Vec<String> = format.unknown.iter().take(20).map(|name| format!("${name}")).collect();
    if format.unknown.len() > names.len() {
        names.push(format!("and {} more", format.unknown.len() - names.len()));
    }
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Global, NoObjects};

    fn read(pairs: &[(&str, &str)]) -> (Logging, Vec<String>) {
        let config = Config::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let (global, problems) = Global::read(&config, &NoObjects);
        (global.logging, problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn some_requests_have_no_line() {
        let (logging, _) = read(&[("skip-access-log-urls", "/Health, ~^/metrics"), ("use-gzip", "true")]);
        for (target, want) in [("/health", false), ("/health?x", true), ("/metrics/1", false), ("/a/metrics", true)] {
            assert_eq!(logging.logs(true, target), want, "{target}");
        }
        let (logging, _) = read(&[("enable-access-log-for-default-backend", "false")]);
        assert!(logging.logs(true, "/") && !logging.logs(false, "/"));
        for key in ["disable-access-log", "disable-http-access-log"] {
            assert!(!read(&[(key, "true")]).0.logs(true, "/"));
        }
    }

    #[test]
    fn variables_that_are_not_known_are_named_and_the_rest_works() {
        let (logging, problems) = read(&[("log-format-upstream", "$status $geoip2_x $connection")]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].ends_with("$geoip2_x, $connection"), "{problems:?}");
        assert_eq!(logging.format.unwrap().parts.len(), 5);
    }

    #[test]
    fn json_is_the_safer_of_two_escapes() {
        let both = [("log-format-escape-json", "true"), ("log-format-escape-none", "true")];
        assert_eq!(read(&both).0.escape, Escape::Json);
        assert_eq!(read(&both[1..]).0.escape, Escape::None);
    }

    #[test]
    fn the_log_goes_to_a_file_with_an_absolute_path_only() {
        let target = |pairs: &[(&str, &str)]| read(pairs).0.target;
        assert_eq!(target(&[("access-log-path", "/var/log/nginx/access.log")]), LogTarget::Stdout);
        let both = [("access-log-path", "/a"), ("http-access-log-path", "/b")];
        assert_eq!(target(&both), LogTarget::File("/b".into()));
        for path in ["a.log", "/a\u{0}", "syslog:server=x"] {
            assert_eq!(target(&[("access-log-path", path)]), LogTarget::Stdout, "{path}");
        }
    }
}
