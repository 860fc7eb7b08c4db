//! What holds for a whole host: what its clients' handshakes are, and who ends them.
use std::sync::Arc;

use table::{Resolved, Rule, Table};

use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::ciphers::{self, Suite, Suites};
use crate::client_auth::{self, ClientAuth};
use crate::{Keys, Route};

const PASSTHROUGH: Key<bool> = Key {
    row: Row {
        name: "ssl-passthrough",
        sentence: "Sends TLS connections of the host as they are to the Service of its path `/`, which ends TLS itself. No other annotation has an effect on them. Needs --enable-ssl-passthrough.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const CIPHERS: Key<Suites> = Key {
    row: Row {
        name: "ssl-ciphers",
        sentence: "Cipher suites for clients of the host that speak TLS 1.2, as OpenSSL writes them, the preferred first. Only ECDHE with AES-GCM or CHACHA20 exists here; an Ingress whose list selects nothing is left out. The oldest Ingress of the host that sets it decides.",
        default: "ssl-ciphers of the ConfigMap",
        example: "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
        support: Support::Honoured,
    },
    parse: ciphers::parse,
    on_error: OnError::Reject,
};

const PREFER: Key<bool> = Key {
    row: Row {
        name: "ssl-prefer-server-ciphers",
        sentence: "Whether the gateway's order of cipher suites counts in handshakes of the host, or the client's. The oldest Ingress of the host that sets it decides.",
        default: "true where ssl-ciphers is set, else false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// Annotations of this module.
pub(crate) const KEYS: Keys = &[&PASSTHROUGH, &CIPHERS, &PREFER];

/// What an Ingress asks of its hosts, or what holds for a host.
#[derive(Debug, Default)]
pub struct HostSettings {
    /// What clients have to show.
    pub client_auth: Option<Arc<ClientAuth>>,
    /// TLS is ended by the endpoints of the path `/`.
    pub passthrough: bool,
    /// Suites of TLS 1.2, the preferred first; `None` leaves them to the ConfigMap.
    pub suites: Option<Box<[Suite]>>,
    /// Does the gateway's order of suites count? `None` leaves it to whether it has one.
    pub prefers: Option<bool>,
    /// What the data plane made of it.
    pub resolved: Resolved,
}

/// What the data plane made of one is not another's.
impl Clone for HostSettings {
    fn clone(&self) -> Self {
        Self {
            client_auth: self.client_auth.clone(),
            passthrough: self.passthrough,
            suites: self.suites.clone(),
            prefers: self.prefers,
            resolved: Resolved::default(),
        }
    }
}

impl PartialEq for HostSettings {
    fn eq(&self, other: &Self) -> bool {
        self.client_auth == other.client_auth
            && self.passthrough == other.passthrough
            && self.suites == other.suites
            && self.prefers == other.prefers
    }
}

impl Eq for HostSettings {}

/// What the annotations of an Ingress ask of its hosts.
pub(crate) fn read(reader: &mut Reader<'_>) -> HostSettings {
    let suites = reader.take(&CIPHERS);
    if let Some(how) = suites.as_ref().and_then(Suites::difference) {
        reader.differs(CIPHERS.row.name, &how);
    }
    HostSettings {
        client_auth: client_auth::read(reader),
        passthrough: reader.take(&PASSTHROUGH).unwrap_or(false),
        suites: suites.map(|suites| suites.list),
        prefers: reader.take(&PREFER),
        resolved: Resolved::default(),
    }
}

impl HostSettings {
    /// What holds for a host, of what its Ingresses ask in the order of their seniority. The oldest decides who ends TLS; of
    /// what clients have to show, the strictest holds. Nothing when it is what holds anyway.
    #[must_use]
    pub fn merge(wants: &[&Self]) -> Option<Self> {
        let merged = Self {
            client_auth: client_auth::strictest(wants.iter().filter_map(|want| want.client_auth.as_ref())).cloned(),
            passthrough: wants.first().is_some_and(|oldest| oldest.passthrough),
            suites: wants.iter().find_map(|want| want.suites.clone()),
            prefers: wants.iter().find_map(|want| want.prefers),
            resolved: Resolved::default(),
        };
        (merged != Self::default()).then_some(merged)
    }
}

/// Where TLS connections for a canonical host go, if endpoints end them: the rule of its path `/`, if there is one.
#[must_use]
pub fn passes_to<'t>(table: &'t Table<Route>, host: &str) -> Option<Option<&'t Arc<Rule<Route>>>> {
    if !table.settings_of(host)?.passthrough {
        return None;
    }
    let rules = table.deciding(host).and_then(|pattern| table.hosts.get(&pattern));
    let is_root = |rule: &&Arc<Rule<Route>>| &*rule.policy.labels.path == "/";
    Some(rules.and_then(|rules| rules.find("/").filter(is_root).or_else(|| rules.iter().find(is_root))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, Balance, Labels};
    use table::{HostPattern, PathMatch, Rules};

    fn table(paths: &[&str], passthrough: bool) -> Table<Route> {
        let mut table = Table::default();
        let host = HostPattern::parse("a.test").unwrap();
        let rule = |path: &&str| {
            let labels = Labels { path: (*path).into(), ..Labels::default() };
            let policy = Route {
                labels: Arc::new(labels),
                backend: Backend::Refused("a test"),
                upstream: Arc::default(),
                balance: Balance::default(),
                fallback: None,
                observe: crate::Observe::default(),
                plan: Box::default(),
                resolved: Resolved::default(),
            };
            Arc::new(Rule { path: PathMatch::prefix(path).unwrap(), policy })
        };
        table.hosts.set(&host, Some(Arc::new(Rules::new(paths.iter().map(rule)))));
        let settings = HostSettings { passthrough, ..HostSettings::default() };
        table.host_settings.set(&host, Some(Arc::new(settings)));
        table
    }

    #[test]
    fn only_the_path_root_of_the_host_counts() {
        let found = |table: &Table<Route>, host| passes_to(table, host).map(|rule| rule.is_some());
        let both = table(&["/a", "/"], true);
        assert_eq!(found(&both, "a.test"), Some(true));
        assert_eq!(found(&both, "b.test"), None);
        assert_eq!(found(&both, ""), None);
        assert_eq!(found(&table(&["/a"], true), "a.test"), Some(false));
        assert_eq!(found(&table(&["/"], false), "a.test"), None);
    }

    #[test]
    fn the_oldest_ingress_of_a_host_decides_who_ends_tls() {
        let (through, not) = (HostSettings { passthrough: true, ..HostSettings::default() }, HostSettings::default());
        let merged = |wants: &[&HostSettings]| HostSettings::merge(wants);
        assert_eq!(merged(&[&through, &not]), Some(through.clone()));
        assert_eq!(merged(&[&not, &through]), None);
        assert_eq!(merged(&[]), None);
    }

    #[test]
    fn the_oldest_that_says_something_about_suites_decides() {
        let list = |text: &str| Some(ciphers::parse(text).unwrap().list);
        let wants = [("", None), ("AES128", Some(false)), ("AES256", Some(true))].map(|(text, prefers)| {
            let suites = if text.is_empty() { None } else { list(text) };
            HostSettings { suites, prefers, ..HostSettings::default() }
        });
        let merged = HostSettings::merge(&wants.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!((merged.suites, merged.prefers), (list("AES128"), Some(false)));
    }

    #[test]
    fn a_list_that_selects_nothing_leaves_the_ingress_out() {
        let config = crate::annotation::Config::default();
        for (value, effect) in [("AES128-SHA", OnError::Reject), ("AES128:AES128-SHA", OnError::Differs)] {
            let mut reader = Reader::new([("ssl-ciphers", value)], &config, &crate::NoObjects);
            read(&mut reader);
            assert_eq!(reader.finish().first().map(|problem| problem.effect), Some(effect), "{value}");
        }
    }
}
