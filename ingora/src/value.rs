//! Types of flag values: durations and names of namespaced objects.
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::failure::Failure;

/// A duration as flags take it: `10`, `10s`, `500ms`, `1m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// Suffixes, the longer first where one ends another, and their milliseconds.
const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) =
            UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit))).unwrap_or((text, 1_000));
        let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        match millis {
            Some(millis) => Ok(Self(Duration::from_millis(millis))),
            None => {
                Err("write a whole number with ms, s, m or h, such as 10s; without a unit it is seconds".to_owned())
            }
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            millis if millis % 1_000 == 0 => write!(f, "{}s", millis / 1_000),
            millis => write!(f, "{millis}ms"),
        }
    }
}

/// A count that cannot be zero.
pub(crate) fn count<T: FromStr + PartialOrd + Default>(text: &str) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| *number > T::default());
    number.ok_or_else(|| "write a whole number from 1".to_owned())
}

/// A label selector that is not empty; the API server judges the rest.
pub(crate) fn selector(text: &str) -> Result<String, String> {
    let is_sound = !text.trim().is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    is_sound.then(|| text.to_owned()).ok_or_else(|| "write a label selector, such as team=web".to_owned())
}

/// A port; 0 takes any free one.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "write a port number from 0 to 65535".to_owned())
}

/// Listeners may share a port, and the kernel would spread connections over them: refuses that, with the flags' names.
pub(crate) fn distinct_ports(ports: [(&str, u16); 3]) -> Result<(), Failure> {
    let [http, https, healthz] = ports;
    for ((flag, port), (other, other_port)) in [(http, https), (http, healthz), (https, healthz)] {
        if port == other_port && port != 0 {
            return Err(Failure::usage(format!("{flag} and {other} are both {port}; give each a port of its own")));
        }
    }
    Ok(())
}

/// `NAMESPACE/NAME` of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamespacedName(pub(crate) String, pub(crate) String);

impl FromStr for NamespacedName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => {
                Ok(Self(namespace.to_owned(), name.to_owned()))
            }
            _ => Err("write it as NAMESPACE/NAME, such as default/web".to_owned()),
        }
    }
}

/// A DNS subdomain (RFC 1123), what Kubernetes names objects with.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units_and_default_to_seconds() {
        for (text, millis) in [("10", 10_000), ("10s", 10_000), ("1m", 60_000), ("2h", 7_200_000), ("50ms", 50)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "s", "1.5s", "-1", "1 s", "1d", "99999999999999999999h"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_printed_duration_reads_back() {
        for millis in [0, 1, 999, 1_000, 75_000] {
            let span = Span(Duration::from_millis(millis));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }

    #[test]
    fn a_count_is_at_least_one() {
        assert_eq!(count::<u32>("7"), Ok(7));
        for text in ["0", "-1", "x", "4294967296"] {
            assert!(count::<u32>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_free_ports_may_be_equal() {
        assert!(distinct_ports([("--a", 0), ("--b", 0), ("--c", 80)]).is_ok());
        for ports in [[80, 80, 1], [80, 1, 80], [1, 80, 80]] {
            let [a, b, c] = ports;
            let error = distinct_ports([("--a", a), ("--b", b), ("--c", c)]).unwrap_err();
            assert!(error.message.contains("are both 80; "), "{}", error.message);
        }
    }

    #[test]
    fn names_need_a_namespace() {
        assert_eq!("a/b.c-1".parse(), Ok(NamespacedName("a".to_owned(), "b.c-1".to_owned())));
        for text in ["", "a", "a/", "/a", "a/b/c", "A/b", "a/b c"] {
            assert!(text.parse::<NamespacedName>().is_err(), "{text}");
        }
    }
}
