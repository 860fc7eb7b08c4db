//! Which endpoint of a cluster gets a request: what a rule can ask for.
use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::units::number;
use crate::{affinity, hash_key};

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// Of two random endpoints the one with fewer requests in flight.
    LeastRequests,
    /// Of three random endpoints the one with the lowest product of latency (a moving average that decays within 10 s and
    /// follows a rise at once) and requests in flight.
    PeakEwma,
    /// At random.
    Random,
    /// By the request's key ([`crate::Edits::key`]): an endpoint that comes or goes moves only the keys that it takes or
    /// leaves.
    Hash {
        /// The most requests in flight that an endpoint may have, in percent of its fair share, before the next one
        /// takes over. At least 101. `None`: however many.
        bound: Option<u16>,
        /// A key belongs to so many endpoints, of which a random one is taken. At least 1.
        subset: u16,
    },
    /// By session: the request's key is a hash of the session, or names its endpoint when sessions persist.
    Sticky {
        /// A session stays at its endpoint also when endpoints are added; otherwise some move so that the new ones get
        /// their share.
        persistent: bool,
    },
}

impl Balance {
    /// Its name, as annotations write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastRequests => "least_requests",
            Self::PeakEwma => "ewma",
            Self::Random => "random",
            Self::Hash { subset: 0 | 1, .. } => "chash",
            Self::Hash { .. } => "chashsubset",
            Self::Sticky { persistent: false } => "sticky_balanced",
            Self::Sticky { persistent: true } => "sticky_persistent",
        }
    }
}

const ROW: Row = Row {
    name: "load-balance",
    sentence: "How an endpoint is chosen: round_robin, least_requests (the less loaded of two), ewma (the fastest of three) \
               or random. Loses to affinity and to upstream-hash-by.",
    default: "round_robin",
    example: "ewma",
    support: Support::Honoured,
};

const NGINX: Key<Balance> = Key { row: ROW, parse, on_error: OnError::Reject };

const OWN: Key<Balance> = Key {
    row: Row {
        name: "ingora.io/load-balance",
        sentence: "The same as load-balance, and wins over it. On a Service it is what Ingresses use that set nothing.",
        ..ROW
    },
    parse,
    on_error: OnError::Default,
};

const CONFIG_KEY: Key<Balance> = Key { on_error: OnError::Default, ..NGINX };

const SUBSET: Key<bool> = Key {
    row: Row {
        name: "upstream-hash-by-subset",
        sentence: "A hash key belongs to some endpoints, of which a random one is taken, instead of to one.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const SUBSET_SIZE: Key<u16> = Key {
    row: Row {
        name: "upstream-hash-by-subset-size",
        sentence: "The number of endpoints of a hash key; 0 is 3.",
        default: "3",
        example: "2",
        support: Support::Honoured,
    },
    parse: |text| match number(text)? {
        0 => Ok(3),
        // No cluster has more endpoints than that.
        size => Ok(u16::try_from(size).unwrap_or(u16::MAX)),
    },
    on_error: OnError::Default,
};

const BOUND: Key<u16> = Key {
    row: Row {
        name: "ingora.io/hash-load-percent",
        sentence: "The requests in flight at which an endpoint gives new ones of its hash keys to the next endpoint, in \
                   percent of the average, 101 to 1000. Below 8 requests nothing moves.",
        default: "no limit",
        example: "150",
        support: Support::Honoured,
    },
    parse: |text| match number(text) {
        Ok(percent @ 101..=1000) => u16::try_from(percent).map_err(|error| error.to_string()),
        _ => Err("is not a whole number from 101 to 1000".to_owned()),
    },
    on_error: OnError::Default,
};

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&NGINX, &OWN, &SUBSET, &SUBSET_SIZE, &BOUND];

/// The keys of the controller's ConfigMap that [`read`] takes.
pub(crate) const CONFIG: Keys = &[&CONFIG_KEY];

/// Affinity wins, then hashing, then the algorithm of the Ingress, of its Service and of the ConfigMap.
pub(crate) fn read(reader: &mut Reader<'_>, service: Option<Balance>) -> Balance {
    let (own, nginx) = (reader.take(&OWN), reader.take(&NGINX));
    let (subset, size, bound) = (reader.take(&SUBSET), reader.take(&SUBSET_SIZE), reader.take(&BOUND));
    if let Some(persistent) = affinity::mode(reader) {
        return Balance::Sticky { persistent };
    }
    if hash_key::is_set(reader) {
        let subset = if subset.unwrap_or_default() { size.unwrap_or(3) } else { 1 };
        return Balance::Hash { bound, subset };
    }
    own.or(nginx).or(service).or_else(|| reader.config().get(&CONFIG_KEY)).unwrap_or_default()
}

/// What a Service asks for.
pub(crate) fn of_service(reader: &mut Reader<'_>) -> Option<Balance> {
    reader.take(&OWN)
}

fn parse(text: &str) -> Result<Balance, String> {
    match text {
        "round_robin" => Ok(Balance::RoundRobin),
        "least_requests" => Ok(Balance::LeastRequests),
        "ewma" => Ok(Balance::PeakEwma),
        "random" => Ok(Balance::Random),
        // What ingress-nginx calls the choices of its other annotations.
        "chash" | "chashsubset" | "sticky_balanced" | "sticky_persistent" => Ok(Balance::RoundRobin),
        _ => Err("is none of round_robin, least_requests, ewma and random".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::{NoObjects, tests::settings};

    #[test]
    fn affinity_beats_hashing_beats_the_algorithm() {
        let (balance, hash, affinity) =
            (("load-balance", "ewma"), ("upstream-hash-by", "$request_uri"), ("affinity", "cookie"));
        assert_eq!(settings(&[balance]).balance, Balance::PeakEwma);
        assert_eq!(settings(&[balance, hash]).balance, Balance::Hash { bound: None, subset: 1 });
        assert_eq!(settings(&[balance, hash, affinity]).balance, Balance::Sticky { persistent: false });
        let persistent = settings(&[affinity, ("affinity-mode", "persistent")]).balance;
        assert_eq!(persistent, Balance::Sticky { persistent: true });
    }

    #[test]
    fn the_ingress_beats_its_service_beats_the_config_map() {
        let config = Config::new([("load-balance".to_owned(), "ewma".to_owned())]);
        let read = |annotations: &[(&'static str, &'static str)], service| {
            super::read(&mut Reader::new(annotations.iter().copied(), &config, &NoObjects), service)
        };
        assert_eq!(read(&[], None), Balance::PeakEwma);
        assert_eq!(read(&[], Some(Balance::Random)), Balance::Random);
        assert_eq!(read(&[("load-balance", "round_robin")], Some(Balance::Random)), Balance::RoundRobin);
        let both = [("load-balance", "round_robin"), ("ingora.io/load-balance", "least_requests")];
        assert_eq!(read(&both, Some(Balance::Random)), Balance::LeastRequests);
    }

    #[test]
    fn a_subset_has_three_endpoints_unless_said() {
        let hash = ("upstream-hash-by", "$host");
        let subset = ("upstream-hash-by-subset", "true");
        for (size, want) in [("0", 3), ("5", 5), ("99", 99)] {
            let read = settings(&[hash, subset, ("upstream-hash-by-subset-size", size)]).balance;
            assert_eq!(read, Balance::Hash { bound: None, subset: want });
        }
        assert_eq!(settings(&[hash, ("ingora.io/hash-load-percent", "100")]).problems.len(), 1);
    }
}
