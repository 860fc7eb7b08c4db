//! Canaries: a second Service that takes some of the requests of a first one.
//!
//! As in ingress-nginx, the alternative belongs to the first Service and its port, so it holds for every rule that leads there.
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use table::ClusterId;

use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::hash_key::HashKey;
use crate::request::{cookie, field};
use crate::{Balance, Configured, Edits, Feature, Keys, Pattern, Request, hash};

const fn row(name: &'static str, sentence: &'static str, default: &'static str, example: &'static str) -> Row {
    Row { name, sentence, default, example, support: Support::Honoured }
}

const ENABLED: Key<bool> = Key {
    row: row(
        "canary",
        "Makes the Services of this Ingress alternatives to those of the rules with the same host, path and path type, \
         wherever these Services are used. The Ingress has no rules of its own, and besides balancing and affinity its other \
         annotations have no effect.",
        "false",
        "true",
    ),
    parse: boolean,
    on_error: OnError::Default,
};

const HEADER: Key<HeaderName> = Key {
    row: row(
        "canary-by-header",
        "Field that decides first: `always` is the canary, `never` is not; any other value leaves it to the cookie and the \
         weight.",
        "none",
        "X-Canary",
    ),
    parse: |text| basic(text)?.parse().map_err(|_| "is not the name of a field".to_owned()),
    on_error: OnError::Default,
};

const VALUE: Key<Box<str>> = Key {
    row: row(
        "canary-by-header-value",
        "Value of the field that is the canary, in place of `always` and `never`.",
        "none",
        "beta",
    ),
    parse: |text| basic(text).map(Into::into),
    on_error: OnError::Default,
};

const PATTERN: Key<Pattern> = Key {
    row: row(
        "canary-by-header-pattern",
        "Regular expression for the values of the field that are the canary, in place of `always` and `never`. \
         canary-by-header-value wins over it; requests with the field are no canary while it cannot be read.",
        "no value matches",
        "^(beta|test)$",
    ),
    parse: |text| Pattern::new(text, false),
    on_error: OnError::Default,
};

const COOKIE: Key<Box<str>> = Key {
    row: row(
        "canary-by-cookie",
        "Cookie that decides after the field: `always` is the canary, `never` is not.",
        "none",
        "canary",
    ),
    parse: |text| basic(text).map(Into::into),
    on_error: OnError::Default,
};

const WEIGHT: Key<i64> = Key {
    row: row(
        "canary-weight",
        "Share of the requests that are the canary when neither field nor cookie decide, out of canary-weight-total.",
        "0",
        "10",
    ),
    parse: whole,
    on_error: OnError::Default,
};

const TOTAL: Key<i64> = Key {
    row: row("canary-weight-total", "What canary-weight is a share of; less than 100 is 100.", "100", "1000"),
    parse: whole,
    on_error: OnError::Default,
};

const BEHAVIOR: Key<bool> = Key {
    row: row(
        "affinity-canary-behavior",
        "`sticky`: who has an affinity cookie stays with the canary or without it; `legacy`: the canary sets no cookie, and \
         its requests are decided anew each time. Stands on the canary's Ingress.",
        "sticky",
        "legacy",
    ),
    parse: |text| match text {
        "sticky" => Ok(true),
        "legacy" => Ok(false),
        _ => Err("is neither sticky nor legacy".to_owned()),
    },
    on_error: OnError::Default,
};

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&ENABLED, &HEADER, &VALUE, &PATTERN, &COOKIE, &WEIGHT, &TOTAL, &BEHAVIOR];

/// Is this the annotation that makes an Ingress a canary, and does it say so? Names have lost their prefix.
#[must_use]
pub fn makes_canary(name: &str, value: &str) -> bool {
    name == ENABLED.row.name && boolean(value.trim()) == Ok(true)
}

/// What ingress-nginx takes for a name or a value here.
fn basic(text: &str) -> Result<&str, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~:".contains(&byte);
    if text.bytes().all(allowed) {
        Ok(text)
    } else {
        Err("holds a character other than letters, digits and /-._~:".to_owned())
    }
}

fn whole(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "is not a whole number".to_owned())
}

/// Who gets a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shares {
    header: Option<(HeaderName, Wanted)>,
    cookie: Option<Box<str>>,
    weight: u32,
    /// At least 100.
    total: u32,
}

/// The values of the field that decide.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// `always` and `never`.
    Words,
    Value(Box<str>),
    Pattern(Pattern),
    /// A pattern that cannot be read.
    Nothing,
}

impl Wanted {
    fn decide(&self, value: &str) -> Option<bool> {
        match self {
            Self::Words => word(value),
            Self::Value(wanted) => (value == &**wanted).then_some(true),
            Self::Pattern(pattern) => pattern.regex().is_match(value).then_some(true),
            Self::Nothing => Some(false),
        }
    }
}

fn word(value: &str) -> Option<bool> {
    match value {
        "always" => Some(true),
        "never" => Some(false),
        _ => None,
    }
}

/// What an Ingress offers that is a canary: everything but the Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    shares: Arc<Shares>,
    /// Sessions stay.
    sticky: bool,
    balance: Balance,
    key: Option<HashKey>,
}

/// What the annotations offer; `None` for an ordinary Ingress.
pub(crate) fn read(reader: &mut Reader<'_>, balance: Balance, plan: &[Configured]) -> Option<Offer> {
    let enabled = reader.take(&ENABLED).unwrap_or(false);
    let (header, cookie) = (reader.take(&HEADER), reader.take(&COOKIE));
    let (value, pattern) = (reader.take(&VALUE), reader.take(&PATTERN));
    let broken = pattern.is_none() && reader.has(PATTERN.row.name);
    let (weight, total) = (reader.take(&WEIGHT).unwrap_or(0), reader.take(&TOTAL).unwrap_or(100));
    let sticky = reader.take(&BEHAVIOR).unwrap_or(true);
    if !enabled {
        if header.is_some() || cookie.is_some() || weight > 0 {
            let message = "is not true, so the other annotations of canaries have no effect; set it to true".to_owned();
            reader.report(ENABLED.row.name, message, OnError::Default);
        }
        return None;
    }
    let wanted = match (value, pattern) {
        (Some(value), _) => Wanted::Value(value),
        (None, Some(pattern)) => Wanted::Pattern(pattern),
        (None, None) if broken => Wanted::Nothing,
        (None, None) => Wanted::Words,
    };
    let bounded = |number: i64, least: i64| u32::try_from(number.max(least)).unwrap_or(u32::MAX);
    let shares = Shares {
        header: header.map(|name| (name, wanted)),
        cookie,
        weight: bounded(weight, 0),
        total: bounded(total, 100),
    };
    let key = plan.iter().find_map(|feature| match feature {
        Configured::HashKey(key) => Some(key.clone()),
        _ => None,
    });
    // Only the main rule sets cookies.
    let balance = if matches!(balance, Balance::Sticky { .. }) { Balance::default() } else { balance };
    Some(Offer { shares: Arc::new(shares), sticky, balance, key })
}

impl Offer {
    /// With its Service, and the Ingress that it comes from as `namespace/name`.
    #[must_use]
    pub fn with(&self, cluster: ClusterId, ingress: Arc<str>) -> Alternative {
        Alternative { identity: hash::cluster(&cluster), cluster, ingress, offer: self.clone() }
    }
}

/// A cluster that takes some of the requests of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// Who takes them.
    pub cluster: ClusterId,
    /// Whose it is, as `namespace/name`.
    pub ingress: Arc<str>,
    /// [`hash::cluster`] of it.
    identity: u64,
    offer: Offer,
}

/// Who gets a request, and what decided so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The canary.
    Canary(&'static str),
    /// The main cluster.
    Main(&'static str),
    /// The canary with a probability of `weight` out of `total`.
    Chance {
        /// At most `total`.
        weight: u32,
        /// At least 100.
        total: u32,
    },
}

impl Alternative {
    /// Who gets a request: ingress-nginx's order is session, field, cookie, weight. `assigned` is the cluster that the
    /// client's affinity cookie names ([`Edits::assigned`]), `main` the identity of the rule's own.
    #[must_use]
    pub fn decide(&self, headers: &HeaderMap, assigned: Option<u64>, main: u64) -> Decision {
        let said = |canary: bool, why| if canary { Decision::Canary(why) } else { Decision::Main(why) };
        if assigned == Some(main) {
            return said(false, "the affinity cookie");
        }
        if self.offer.sticky && assigned == Some(self.identity) {
            return said(true, "the affinity cookie");
        }
        let Shares { header, cookie: name, weight, total } = &*self.offer.shares;
        if let Some(canary) = header.as_ref().and_then(|(name, wanted)| wanted.decide(field(headers, name.as_str())?)) {
            return said(canary, "the field");
        }
        if let Some(canary) = name.as_ref().and_then(|name| word(cookie(headers, name)?)) {
            return said(canary, "the cookie");
        }
        match *weight {
            0 => Decision::Main("the weight"),
            weight if weight >= *total => Decision::Canary("the weight"),
            weight => Decision::Chance { weight, total: *total },
        }
    }

    /// How its endpoints are chosen from, for a rule that balances so.
    #[must_use]
    pub fn balance(&self, main: Balance) -> Balance {
        if self.offer.sticky && matches!(main, Balance::Sticky { .. }) { main } else { self.offer.balance }
    }

    /// The key that its endpoints are chosen by, for a rule that balances so and a request with these edits.
    pub fn key(&self, main: Balance, request: &Request<'_>, edits: Option<&Edits>) -> Option<u64> {
        if self.balance(main) == main && matches!(main, Balance::Sticky { .. }) {
            return edits.and_then(|edits| edits.key);
        }
        let mut own = Edits::default();
        self.offer.key.as_ref()?.on_request(request, &mut own);
        own.key
    }

    /// Are its endpoints chosen by a key of the request?
    #[must_use]
    pub fn has_key(&self, main: Balance) -> bool {
        self.offer.key.is_some() || matches!(self.balance(main), Balance::Sticky { .. })
    }
}

/// Where it leads and who gets it.
impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Offer { shares, sticky, balance, key } = &self.offer;
        write!(f, "{} of Ingress {}: ", self.cluster, self.ingress)?;
        if let Some((name, wanted)) = &shares.header {
            match wanted {
                Wanted::Words => write!(f, "field {name} always, ")?,
                Wanted::Value(value) => write!(f, "field {name} {value:?}, ")?,
                Wanted::Pattern(pattern) => write!(f, "field {name} {pattern:?}, ")?,
                Wanted::Nothing => write!(f, "never with field {name}, ")?,
            }
        }
        if let Some(name) = &shares.cookie {
            write!(f, "cookie {name} always, ")?;
        }
        write!(f, "{} of {}", shares.weight, shares.total)?;
        if !sticky {
            f.write_str(", without sessions")?;
        }
        if *balance != Balance::default() {
            write!(f, ", by {}", balance.name())?;
        }
        key.as_ref().map_or(Ok(()), |key| write!(f, ", key {key:?}"))
    }
}

impl Decision {
    /// Is it the canary, for a uniformly random number?
    #[must_use]
    pub fn is_canary(self, random: impl FnOnce() -> u32) -> bool {
        match self {
            Self::Canary(_) => true,
            Self::Main(_) => false,
            Self::Chance { weight, total } => (u64::from(random()) * u64::from(total)) >> 32 < u64::from(weight),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::settings;
    use http::HeaderValue;
    use table::ServicePort;

    fn alternative(annotations: &[(&'static str, &'static str)]) -> Alternative {
        let all: Vec<_> = [("canary", "true")].iter().chain(annotations).copied().collect();
        let cluster = ClusterId::new("ns", "canary", ServicePort::Number(80));
        settings(&all).canary.unwrap().with(cluster, "ns/canary".into())
    }

    fn decide(
        annotations: &[(&'static str, &'static str)],
        fields: &[(&'static str, &'static str)],
        assigned: Option<u64>,
    ) -> Decision {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        alternative(annotations).decide(&headers, assigned, 1)
    }

    #[test]
    fn the_field_decides_first_then_the_cookie_then_the_weight() {
        let all = [("canary-by-header", "X-C"), ("canary-by-cookie", "c"), ("canary-weight", "100")];
        for (fields, want) in [
            (vec![("x-c", "never"), ("cookie", "c=always")], Decision::Main("the field")),
            (vec![("x-c", "always"), ("cookie", "c=never")], Decision::Canary("the field")),
            (vec![("x-c", "other"), ("cookie", "c=never")], Decision::Main("the cookie")),
            (vec![("cookie", "c=other")], Decision::Canary("the weight")),
            (vec![], Decision::Canary("the weight")),
        ] {
            assert_eq!(decide(&all, &fields, None), want, "{fields:?}");
        }
    }

    #[test]
    fn with_a_value_or_a_pattern_the_words_mean_nothing() {
        let value =
            [("canary-by-header", "X-C"), ("canary-by-header-value", "beta"), ("canary-by-header-pattern", ".")];
        assert_eq!(decide(&value, &[("x-c", "beta")], None), Decision::Canary("the field"));
        assert_eq!(decide(&value, &[("x-c", "always")], None), Decision::Main("the weight"));
        let pattern = [("canary-by-header", "X-C"), ("canary-by-header-pattern", "^b"), ("canary-weight", "100")];
        assert_eq!(decide(&pattern, &[("x-c", "beta")], None), Decision::Canary("the field"));
        assert_eq!(decide(&pattern, &[("x-c", "never")], None), Decision::Canary("the weight"));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_main_for_requests_with_the_field() {
        let broken = [("canary-by-header", "X-C"), ("canary-by-header-pattern", "(?=x)"), ("canary-weight", "100")];
        assert_eq!(decide(&broken, &[("x-c", "always")], None), Decision::Main("the field"));
        assert_eq!(decide(&broken, &[], None), Decision::Canary("the weight"));
    }

    #[test]
    fn a_session_stays_where_it_was_unless_the_canary_is_legacy() {
        let canary = alternative(&[]).identity;
        let always = [("canary-by-header", "X-C")];
        assert_eq!(decide(&always, &[("x-c", "always")], Some(1)), Decision::Main("the affinity cookie"));
        assert_eq!(decide(&always, &[("x-c", "never")], Some(canary)), Decision::Canary("the affinity cookie"));
        assert_eq!(decide(&always, &[("x-c", "always")], Some(7)), Decision::Canary("the field"));
        let legacy = [("affinity-canary-behavior", "legacy"), ("canary-weight", "0")];
        assert_eq!(decide(&legacy, &[], Some(canary)), Decision::Main("the weight"));
    }

    #[test]
    fn the_weight_is_a_share_of_at_least_100() {
        for (weight, total, want) in [
            ("0", "100", 0),
            ("-5", "100", 0),
            ("50", "100", 32_768),
            ("100", "100", 65_536),
            ("50", "10", 32_768),
            ("1", "4", 656),
            ("250", "1000", 16_384),
        ] {
            let decision = decide(&[("canary-weight", weight), ("canary-weight-total", total)], &[], None);
            let takes = |random: &u16| decision.is_canary(|| u32::from(*random) << 16);
            assert_eq!((0..=u16::MAX).filter(takes).count(), want, "{weight}/{total}");
        }
    }

    #[test]
    fn the_canary_balances_by_its_own_annotations_but_for_sessions() {
        let sticky = Balance::Sticky { persistent: false };
        let ewma = alternative(&[("load-balance", "ewma"), ("affinity", "cookie")]);
        assert_eq!(ewma.balance(Balance::Random), Balance::default(), "its own affinity sets no cookie");
        let ewma = alternative(&[("load-balance", "ewma")]);
        assert_eq!((ewma.balance(Balance::Random), ewma.balance(sticky)), (Balance::PeakEwma, sticky));
        let legacy = alternative(&[("load-balance", "ewma"), ("affinity-canary-behavior", "legacy")]);
        assert_eq!(legacy.balance(sticky), Balance::PeakEwma);
        assert!(alternative(&[("upstream-hash-by", "$host")]).has_key(Balance::Random));
    }

    #[test]
    fn without_the_switch_there_is_no_canary() {
        for (annotations, problems) in
            [(vec![("canary-weight", "10")], 1), (vec![("canary", "maybe")], 1), (vec![("canary", "false")], 0)]
        {
            let settings = settings(&annotations);
            assert_eq!((settings.canary, settings.problems.len()), (None, problems), "{annotations:?}");
        }
        assert!(
            makes_canary("canary", " True ") && !makes_canary("canary", "yes") && !makes_canary("canary-x", "true")
        );
    }

    #[test]
    fn a_bad_value_is_told_and_has_its_default() {
        for pair in [
            ("canary-weight", "ten"),
            ("canary-by-header", "a b"),
            ("canary-by-header", "a:b"),
            ("canary-by-cookie", "a;b"),
            ("canary-by-header-value", "a\nb"),
            ("canary-by-header-pattern", "("),
            ("affinity-canary-behavior", "other"),
        ] {
            let settings = settings(&[("canary", "true"), pair]);
            assert_eq!(settings.problems.len(), 1, "{pair:?}");
            assert!(settings.canary.is_some());
        }
    }
}
