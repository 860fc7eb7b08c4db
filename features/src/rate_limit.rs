//! How many requests a client may make: over time, and at the same time. All paths of an Ingress count together.
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::bucket::Rate;
use crate::networks::Networks;
use crate::{Edits, Feature, Keys, Request, RuleFacts, Template, Verdict};

const PER_REPLICA: Support = Support::Honoured;

const fn number(name: &'static str, sentence: &'static str) -> Key<u32> {
    Key {
        row: Row { name, sentence, default: "no limit", example: "10", support: PER_REPLICA },
        parse: |text| text.parse().map_err(|_| "is not a whole number from 0 to 4294967295".to_owned()),
        on_error: OnError::Close,
    }
}

const CONNECTIONS: Key<u32> =
    number("limit-connections", "Requests that a client may make at the same time; 0 is no limit. Others get 503.");
const RPS: Key<u32> = number("limit-rps", "Requests that a client may make in a second; 0 is no limit. Others get 503.");
const RPM: Key<u32> = number("limit-rpm", "Requests that a client may make in a minute; 0 is no limit. Others get 503.");

const MULTIPLIER: Key<u32> = Key {
    row: Row {
        name: "limit-burst-multiplier",
        sentence: "How many times the limit a client may make at once.",
        default: "5",
        example: "2",
        support: Support::Honoured,
    },
    parse: |text| match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("is not a whole number above 0".to_owned()),
    },
    on_error: OnError::Default,
};

const fn list(name: &'static str, sentence: &'static str) -> Key<Networks> {
    let row = Row { name, sentence, default: "none", example: "10.0.0.0/8,2001:db8::/32", support: Support::Honoured };
    Key { row, parse: Networks::parse, on_error: OnError::Reject }
}

const ALLOW: Key<Networks> = list("limit-allowlist", "Addresses and networks, between commas, that are never limited.");
const WHITE: Key<Networks> = list("limit-whitelist", "The former name of `limit-allowlist`, which goes before it.");

const fn status(name: &'static str, sentence: &'static str) -> Key<u16> {
    Key {
        row: Row { name, sentence, default: "503", example: "429", support: Support::Honoured },
        parse: |text| match text.parse() {
            Ok(status @ 400..=599) => Ok(status),
            _ => Err("is not a status from 400 to 599".to_owned()),
        },
        on_error: OnError::Default,
    }
}

const RATE_STATUS: Key<u16> = status("limit-req-status-code", "Status of requests that `limit-rps` and `limit-rpm` refuse.");
const CONNECTIONS_STATUS: Key<u16> = status("limit-conn-status-code", "Status of requests that `limit-connections` refuses.");

const VARIABLE: Key<Template> = Key {
    row: Row {
        name: "limit-conn-zone-variable",
        sentence: "What tells clients apart for all limits, with variables of nginx; requests for which it is empty are not limited.",
        default: "$binary_remote_addr",
        example: "$http_x_tenant",
        support: Support::Honoured,
    },
    parse: Template::parse,
    on_error: OnError::Default,
};

/// Whom a limit counts: a client on the rules of one Ingress. What is counted is kept by whoever serves.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// Namespace and name of the Ingress.
    pub ingress: (&'a str, &'a str),
    /// What tells clients apart.
    pub client: &'a str,
    /// The client's address, unless something else tells clients apart.
    pub address: Option<std::net::IpAddr>,
}

impl Hash for Counted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.ingress, self.client, self.address).hash(state);
    }
}

/// The limits of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    rates: [Option<Rate>; 2],
    connections: u32,
    exempt: Option<Arc<Networks>>,
    variable: Option<Template>,
    rate_status: u16,
    connections_status: u16,
}

impl Feature for RateLimit {
    const KEYS: Keys = &[&CONNECTIONS, &RPS, &RPM, &MULTIPLIER, &ALLOW, &WHITE];
    const CONFIG: Keys = &[&RATE_STATUS, &CONNECTIONS_STATUS, &VARIABLE];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let [connections, rps, rpm] = [&CONNECTIONS, &RPS, &RPM].map(|key| reader.take(key).unwrap_or(0));
        let multiplier = reader.take(&MULTIPLIER).unwrap_or(5);
        let white = reader.take(&WHITE);
        let exempt = reader.take(&ALLOW).or(white).map(Arc::new);
        let rate = |limit: u32, seconds: u64| {
            let burst = u64::from(limit) * u64::from(multiplier);
            (limit > 0).then(|| Rate { per_second: u64::from(limit) * 1000 / seconds, burst })
        };
        let rates = [rate(rps, 1), rate(rpm, 60)];
        if connections == 0 && rates == [None, None] {
            return None;
        }
        let config = reader.config();
        // The address is the default, and costs no text.
        let variable = config.get(&VARIABLE).filter(|template| Template::parse("$binary_remote_addr").as_ref() != Ok(template));
        let rate_status = config.get(&RATE_STATUS).unwrap_or(503);
        let connections_status = config.get(&CONNECTIONS_STATUS).unwrap_or(503);
        Some(Self { rates, connections, exempt, variable, rate_status, connections_status })
    }

    fn on_request(&self, request: &Request<'_>, _: &mut Edits) -> Verdict {
        if let (Some(exempt), Some(client)) = (&self.exempt, request.client)
            && exempt.contains(client)
        {
            return Verdict::Continue;
        }
        let text = self.variable.as_ref().map(|template| template.expand(request, &[]));
        if text.as_deref() == Some("") {
            return Verdict::Continue;
        }
        let counted = Counted {
            ingress: (&request.labels.namespace, &request.labels.ingress),
            client: text.as_deref().unwrap_or_default(),
            address: request.client.filter(|_| text.is_none()),
        };
        // nginx counts requests over time first.
        if self.rates != [None, None] && !request.world.admit(&counted, self.rates) {
            return Verdict::status(self.rate_status, "rate_limited");
        }
        if self.connections > 0 && !request.world.enter(&counted, self.connections) {
            return Verdict::status(self.connections_status, "connections_limited");
        }
        Verdict::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::{Labels, NoObjects, World};
    use std::cell::RefCell;
    use std::time::Duration;

    /// Writes down what is counted, and lets so many pass.
    #[derive(Debug, Default)]
    struct Told(RefCell<Vec<String>>, usize);

    impl World for Told {
        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn random(&self) -> u32 {
            0
        }

        fn admit(&self, counted: &Counted<'_>, rates: [Option<Rate>; 2]) -> bool {
            let mut told = self.0.borrow_mut();
            told.push(format!("{:?} {:?} {} {rates:?}", counted.ingress, counted.address, counted.client));
            told.len() <= self.1
        }

        fn enter(&self, _: &Counted<'_>, most: u32) -> bool {
            most > 1
        }
    }

    fn read(annotations: &[(&'static str, &'static str)], config: &[(&str, &str)]) -> (Option<RateLimit>, Option<OnError>) {
        let config = Config::new(config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        let feature = RateLimit::read(&mut reader, &RuleFacts::default());
        (feature, reader.finish().into_iter().map(|problem| problem.effect).max())
    }

    fn status(feature: &RateLimit, world: &Told) -> Option<u16> {
        let (headers, labels) = (http::HeaderMap::new(), Labels { ingress: "web".into(), ..Labels::default() });
        let request = Request { world, ..crate::request::tests::plain(&headers, &labels) };
        match feature.on_request(&request, &mut Edits::default()) {
            Verdict::Answer(answer) => Some(answer.status),
            Verdict::Continue | Verdict::Ask(_) => None,
        }
    }

    #[test]
    fn limits_are_rates_with_a_burst() {
        let (feature, _) = read(&[("limit-rps", "2"), ("limit-rpm", "100"), ("limit-burst-multiplier", "3")], &[]);
        let want = [Some(Rate { per_second: 2000, burst: 6 }), Some(Rate { per_second: 1666, burst: 300 })];
        assert_eq!(feature.unwrap().rates, want);
        let (feature, _) = read(&[("limit-rps", "2"), ("limit-burst-multiplier", "0")], &[]);
        assert_eq!(feature.unwrap().rates[0], Some(Rate { per_second: 2000, burst: 10 }));
        assert_eq!(read(&[("limit-rps", "0")], &[]), (None, None));
    }

    #[test]
    fn who_is_over_a_limit_gets_its_status() {
        let config = [("limit-req-status-code", "429"), ("limit-conn-status-code", "420")];
        let (feature, _) = read(&[("limit-rps", "1")], &config);
        let world = Told(RefCell::default(), 1);
        assert_eq!([status(feature.as_ref().unwrap(), &world), status(&feature.unwrap(), &world)], [None, Some(429)]);
        assert!(world.0.borrow()[0].starts_with("(\"\", \"web\") Some(192.0.2.1)"));
        assert_eq!(status(&read(&[("limit-connections", "1")], &config).0.unwrap(), &world), Some(420));
        assert_eq!(status(&read(&[("limit-connections", "1")], &[("limit-conn-status-code", "99")]).0.unwrap(), &world), Some(503));
        assert_eq!(status(&read(&[("limit-connections", "2")], &[]).0.unwrap(), &world), None);
    }

    #[test]
    fn listed_addresses_and_empty_keys_are_not_limited() {
        let world = Told::default();
        let (feature, _) = read(&[("limit-rps", "1"), ("limit-whitelist", "192.0.2.0/24")], &[]);
        assert_eq!(status(&feature.unwrap(), &world), None);
        let (feature, _) = read(&[("limit-rps", "1")], &[("limit-conn-zone-variable", "$http_x_tenant")]);
        assert_eq!(status(&feature.unwrap(), &world), None);
        let (feature, _) = read(&[("limit-rps", "1")], &[("limit-conn-zone-variable", "of $host")]);
        assert_eq!(status(&feature.unwrap(), &world), Some(503));
        assert!(world.0.borrow()[0].contains("None of foo.com"));
    }

    #[test]
    fn malformed_limits_never_open() {
        for value in ["x", "-1", "1.5", "10/s", "4294967296", "1\n2", "$x", "{}", "\u{0}", "١"] {
            for name in ["limit-rps", "limit-rpm", "limit-connections"] {
                assert_eq!(read(&[(name, value)], &[]).1, Some(OnError::Close), "{name}: {value}");
            }
            assert_eq!(read(&[("limit-rps", "1"), ("limit-allowlist", value)], &[]).1, Some(OnError::Reject), "{value}");
        }
    }
}
