//! Finding the rule of a request, and telling why it won.
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::host::HostPattern;
use crate::path::RequestPath;
use crate::path_regex::PathRegex;
use crate::rank::Rank;
use crate::rules::Rule;
use crate::table::{Policy, Table};

/// What a request matched.
#[derive(Debug)]
pub enum Found<'t, P> {
    /// A rule of a host.
    Rule(&'t Arc<Rule<P>>),
    /// No rule; the controller-wide default backend.
    Default(&'t Arc<Rule<P>>),
    /// No rule and no default backend.
    Nothing,
}

impl<'t, P> Found<'t, P> {
    /// The rule, be it the default one.
    #[must_use]
    pub fn rule(&self) -> Option<&'t Arc<Rule<P>>> {
        match self {
            Self::Rule(rule) | Self::Default(rule) => Some(rule),
            Self::Nothing => None,
        }
    }
}

impl<P: Policy> Table<P> {
    /// The rule for a canonical host and path.
    ///
    /// The host decides first and alone: a host that has rules never falls through to a wildcard or host-less rule, as in
    /// ingress-nginx, where each host is a server of its own.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Found<'_, P> {
        let rule = self.hosts.find(host).and_then(|rules| rules.find(path));
        match (rule, &self.default_backend) {
            (Some(rule), _) => Found::Rule(rule),
            (None, Some(rule)) => Found::Default(rule),
            (None, None) => Found::Nothing,
        }
    }

    /// The rule for a request, whose path may have held dot segments.
    ///
    /// # Errors
    /// When resolving the dot segments changes which rule wins: a server behind the gateway that reads the path
    /// literally would serve a request that was decided on under another rule. The answer is 400.
    pub fn find_request(&self, host: &str, path: &RequestPath<'_>) -> Result<Found<'_, P>, Ambiguous> {
        let found = self.find(host, path.as_str());
        if let Some(literal) = path.unresolved() {
            let other = self.find(host, literal);
            if found.rule().map(Arc::as_ptr) != other.rule().map(Arc::as_ptr) {
                return Err(Ambiguous);
            }
        }
        Ok(found)
    }

    /// The same walk as [`Table::find`], which also keeps the losers.
    #[must_use]
    pub fn trace(&self, host: &str, path: &str) -> Trace<'_, P> {
        let mut hosts = self.hosts.candidates(host).into_iter();
        let chosen = hosts.next();
        let mut rules: Vec<Candidate<'_, P>> = chosen
            .iter()
            .flat_map(|(_, rules)| rules.expressions())
            .map(|(regex, rule)| Candidate {
                rule,
                rank: Rank::of(&rule.path),
                regex,
                matches: regex.map_or_else(|| rule.path.matches(path), |regex| regex.matches(path)),
            })
            .collect();
        // Regular expressions stand in their order already, and all rules of a host are of one kind.
        rules.sort_by(|a, b| {
            let by_rank = || b.rank.cmp(&a.rank).then(a.rule.path.cmp(&b.rule.path));
            b.matches.cmp(&a.matches).then_with(|| if a.regex.is_some() { Ordering::Equal } else { by_rank() })
        });
        Trace {
            found: self.find(host, path),
            host: chosen.map(|(pattern, _)| pattern),
            lesser_hosts: hosts.map(|(pattern, _)| pattern).collect(),
            rules,
        }
    }
}

/// The path selects different rules depending on who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("path selects another rule once its dot segments are resolved")
    }
}

impl std::error::Error for Ambiguous {}

/// A decision with everything that was considered.
#[derive(Debug)]
pub struct Trace<'t, P> {
    /// The decision.
    pub found: Found<'t, P>,
    /// The host pattern that took the request.
    pub host: Option<HostPattern>,
    /// Patterns that cover the host too but are less specific.
    pub lesser_hosts: Vec<HostPattern>,
    /// The rules of the chosen host: those that match first, by rank.
    pub rules: Vec<Candidate<'t, P>>,
}

/// A rule that was considered.
#[derive(Debug)]
pub struct Candidate<'t, P> {
    /// The rule.
    pub rule: &'t Arc<Rule<P>>,
    /// Its rank; the greatest one that matches wins, unless the paths of the host are regular expressions.
    pub rank: Rank,
    /// Its expression, when the paths of the host are regular expressions: the first that matches wins.
    pub regex: Option<&'t PathRegex>,
    /// Does its path match?
    pub matches: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PathMatch, Rules};

    impl Policy for &'static str {
        type Global = ();
        type Host = ();
        type Cluster = ();
    }

    fn table() -> Table<&'static str> {
        let mut table = Table::default();
        for (host, paths) in [("a.com", vec!["/public", "/admin"]), ("*.a.com", vec!["/"]), ("", vec!["/"])] {
            let rules =
                paths.into_iter().map(|path| Arc::new(Rule { path: PathMatch::prefix(path).unwrap(), policy: path }));
            table.hosts.set(&HostPattern::parse(host).unwrap(), Some(Arc::new(Rules::new(rules))));
        }
        table
    }

    #[test]
    fn a_host_with_rules_never_falls_through() {
        let table = table();
        assert!(matches!(table.find("a.com", "/other"), Found::Nothing));
        assert!(matches!(table.find("unknown", "/other"), Found::Rule(_)));
    }

    #[test]
    fn dot_segments_that_change_the_rule_are_ambiguous() {
        let table = table();
        let find = |host, path| table.find_request(host, &RequestPath::parse(path).unwrap()).map(|_| ());
        assert_eq!(find("a.com", "/admin/../public"), Err(Ambiguous));
        assert_eq!(find("a.com", "/public/..%2fadmin"), Err(Ambiguous));
        assert_eq!(find("a.com", "/public/x/../y"), Ok(()));
        assert_eq!(find("b.a.com", "/x/../y"), Ok(()));
    }

    #[test]
    fn a_trace_names_winner_and_losers() {
        let table = table();
        let trace = table.trace("a.com", "/admin/x");
        assert_eq!(trace.host, Some(HostPattern::Exact("a.com".into())));
        assert_eq!(trace.lesser_hosts, [HostPattern::Any]);
        let rules: Vec<_> = trace.rules.iter().map(|rule| (rule.rule.policy, rule.matches)).collect();
        assert_eq!(rules, [("/admin", true), ("/public", false)]);
        assert!(matches!(trace.found, Found::Rule(rule) if rule.policy == "/admin"));
    }
}
