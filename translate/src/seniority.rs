//! Which of two Ingresses wins what only one can have.
use std::cmp::Reverse;

use k8s_openapi::api::networking::v1::Ingress;

use crate::snapshot::Key;

/// The derived order *is* the precedence, the winner first: the older one; of the same age the one with the greater
/// `namespace/name`, as in ingress-nginx. Objects that were applied together have the same age.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seniority {
    /// Creation in seconds since the Unix epoch; the greatest number when unknown.
    created: i64,
    name: Reverse<Box<str>>,
    pub(crate) key: Key,
}

impl Seniority {
    pub(crate) fn of(key: &Key, ingress: &Ingress) -> Self {
        let created = ingress.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second());
        Self { created, name: Reverse(key.to_string().into()), key: key.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seniority(name: &str, created: Option<&str>) -> Seniority {
        let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"creationTimestamp": created}});
        Seniority::of(&Key::new("ns", name), &serde_json::from_value(object).unwrap())
    }

    #[test]
    fn the_older_then_the_greater_name_wins() {
        let old = seniority("z", Some("2020-01-01T00:00:00Z"));
        let young = seniority("a", Some("2021-01-01T00:00:00Z"));
        let (unknown_a, unknown_b) = (seniority("a", None), seniority("b", None));
        let mut list = [&unknown_a, &unknown_b, &young, &old];
        list.sort();
        assert_eq!(list, [&old, &young, &unknown_b, &unknown_a]);
    }
}
