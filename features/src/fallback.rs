//! Who answers instead of a rule's endpoints: the default backend while there are none, and pages for listed statuses.
use std::sync::Arc;

use table::ClusterId;

use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};

/// Who answers instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The rule's own default backend; without one, pages come from the controller's.
    pub backend: Option<ClusterId>,
    /// Statuses that a page takes the place of.
    pub statuses: Box<[u16]>,
    /// Also when an endpoint answers with them, not only the gateway.
    pub intercept: bool,
}

impl Fallback {
    /// Does a page take the place of a status that the gateway answers with?
    #[must_use]
    pub fn replaces(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }
}

const STATUSES: Key<Box<[u16]>> = Key {
    row: Row {
        name: "custom-http-errors",
        sentence: "Statuses from 400 to 599 in whose place the default backend is asked for a page; without one the answer \
                   is 500.",
        default: "none",
        example: "404,503",
        support: Support::Honoured,
    },
    parse: statuses,
    on_error: OnError::Reject,
};

const BACKEND: Key<String> = Key {
    row: Row {
        name: "default-backend",
        sentence: "A Service of the same namespace that serves while the rule has no ready endpoint, and gives the pages of custom-http-errors.",
        default: "the controller's default backend, for pages",
        example: "sorry",
        support: Support::Honoured,
    },
    parse: |text| Ok(text.to_owned()),
    on_error: OnError::Default,
};

const PASS: Key<bool> = Key {
    row: Row {
        name: "disable-proxy-intercept-errors",
        sentence: "Lets the endpoints' own answers pass whatever custom-http-errors lists.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&STATUSES, &BACKEND, &PASS];

/// The keys of the ConfigMap that [`read`] takes.
pub(crate) const CONFIG: Keys = &[&STATUSES, &PASS];

/// Reads the settings; `None` when nobody answers instead.
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Arc<Fallback>> {
    let statuses = reader.take_or(&STATUSES, &STATUSES).unwrap_or_default();
    let intercept = !reader.take_or(&PASS, &PASS).unwrap_or(false);
    let name = reader.take(&BACKEND);
    let backend = name.and_then(|name| match reader.objects().service(&name) {
        Ok(cluster) => Some(cluster),
        Err(why) => {
            reader.report(BACKEND.row.name, format!("has no effect: {why}"), OnError::Default);
            None
        }
    });
    (backend.is_some() || !statuses.is_empty()).then(|| Arc::new(Fallback { backend, statuses, intercept }))
}

fn statuses(text: &str) -> Result<Box<[u16]>, String> {
    let wrong = || "is not a list of statuses from 400 to 599".to_owned();
    let one = |item: &str| item.trim().parse().ok().filter(|status| (400..=599).contains(status));
    let mut list = text.split(',').map(one).collect::<Option<Vec<u16>>>().ok_or_else(wrong)?;
    list.sort_unstable();
    list.dedup();
    Ok(list.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::Config;

    fn read_all(
        annotations: &[(&'static str, &'static str)],
        config: &[(&str, &str)],
    ) -> (Option<Arc<Fallback>>, usize) {
        let config = Config::new(config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        (read(&mut reader), reader.finish().len())
    }

    #[test]
    fn a_plain_rule_has_none() {
        assert_eq!(read_all(&[], &[]), (None, 0));
        assert_eq!(read_all(&[("disable-proxy-intercept-errors", "true")], &[]), (None, 0));
    }

    #[test]
    fn the_list_of_the_ingress_takes_the_place_of_the_config_maps() {
        let global = [("custom-http-errors", "404,500")];
        let fallback = read_all(&[], &global).0.unwrap();
        assert!(fallback.replaces(404) && fallback.replaces(500) && !fallback.replaces(503) && fallback.intercept);
        let own =
            read_all(&[("custom-http-errors", " 503 , 503"), ("disable-proxy-intercept-errors", "true")], &global);
        let own = own.0.unwrap();
        assert_eq!((&*own.statuses, own.intercept), (&[503][..], false));
    }

    #[test]
    fn statuses_that_are_no_errors_are_refused() {
        for text in ["200", "399", "600", "404;500", "", "4xx", "404,"] {
            assert!(statuses(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_default_backend_that_is_missing_is_told() {
        assert_eq!(read_all(&[("default-backend", "sorry")], &[]), (None, 1));
    }
}
