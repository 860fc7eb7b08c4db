//! What a route can do: every feature in one file, its configuration, keys, behaviour, documentation and tests together.
//!
//! Pure: there is no clock, no I/O and no Pingora here.
#![warn(clippy::disallowed_methods)]

pub mod annotation;
mod protection;
mod request;
mod route;
mod upstream;

use annotation::{Problem, Reader, Row};

pub use request::{Request, Verdict};
pub use route::{Backend, Labels, Protocol, Route, Upstream};
pub use table::Resolved;

/// What features may know about the rule they are configured for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleFacts {
    /// The host of the rule has a certificate entry.
    pub host_has_tls: bool,
}

/// One feature: configuration, annotation keys and behaviour.
pub trait Feature: Sized {
    /// Its annotation keys.
    const KEYS: &'static [Row];
    /// Reads its configuration; `None` when the rule does not have the feature.
    fn read(reader: &mut Reader<'_>, facts: &RuleFacts) -> Option<Self>;
    /// Acts on a request.
    fn on_request(&self, request: &Request<'_>) -> Verdict;
}

macro_rules! features {
    ($($variant:ident = $module:ident),* $(,)?) => {
        $(mod $module;)*

        /// A feature that a rule has. The order of the list is the order of execution and of the documentation.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Configured {
            $(#[doc = concat!("See the module `", stringify!($module), "`.")] $variant($module::$variant)),*
        }

        fn read_plan(reader: &mut Reader<'_>, facts: &RuleFacts) -> Box<[Configured]> {
            [$(<$module::$variant as Feature>::read(reader, facts).map(Configured::$variant)),*]
                .into_iter().flatten().collect()
        }

        const FEATURES: &[(&str, &[Row])] = &[$((stringify!($module), <$module::$variant as Feature>::KEYS)),*];

        impl Configured {
            /// Acts on a request.
            #[must_use]
            pub fn on_request(&self, request: &Request<'_>) -> Verdict {
                match self { $(Self::$variant(feature) => feature.on_request(request)),* }
            }

            /// The feature's name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($module)),* }
            }
        }
    };
}

features! {
    TlsRedirect = tls_redirect,
}

/// Everything that annotations say about a rule.
#[derive(Debug)]
pub struct Settings {
    /// How to talk to the endpoints.
    pub upstream: Upstream,
    /// The features that act on a request, in order.
    pub plan: Box<[Configured]>,
    /// What is wrong with the annotations.
    pub problems: Vec<Problem>,
}

/// Reads the annotations of an Ingress for one of its rules. Names have lost their prefix; `protocol` is what the Service
/// port asks for.
#[must_use]
pub fn read<'a>(
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    facts: &RuleFacts,
    protocol: Protocol,
) -> Settings {
    let mut reader = Reader::new(annotations);
    protection::read(&mut reader);
    let upstream = upstream::read(&mut reader, protocol);
    let plan = read_plan(&mut reader, facts);
    Settings { upstream, plan, problems: reader.finish() }
}

/// Runs a plan until a feature answers. `seen` learns each step: serving drops it, explaining prints it.
pub fn run(plan: &[Configured], request: &Request<'_>, mut seen: impl FnMut(&'static str, &Verdict)) -> Verdict {
    for feature in plan {
        let verdict = feature.on_request(request);
        seen(feature.name(), &verdict);
        if verdict != Verdict::Continue {
            return verdict;
        }
    }
    Verdict::Continue
}

/// Every annotation key with the module it belongs to: what the documentation is printed from.
pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static Row)> {
    FEATURES
        .iter()
        .chain(&[("upstream", upstream::KEYS)])
        .flat_map(|(module, rows)| rows.iter().map(|row| (*module, row)))
}

/// Annotations that close a rule because this version does not support the protection they ask for.
#[must_use]
pub fn closing_annotations() -> &'static [&'static str] {
    protection::NAMES
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_catalogue_is_sound() {
        let mut names: BTreeSet<_> = closing_annotations().iter().copied().collect();
        for (module, row) in catalogue() {
            assert!(names.insert(row.name), "{} stands twice", row.name);
            assert!(row.sentence.ends_with('.'), "{module}: {}", row.name);
            let settings = read([(row.name, row.example)], &RuleFacts::default(), Protocol::Http);
            assert_eq!(settings.problems, [], "the example of {} parses", row.name);
        }
    }

    #[test]
    fn serving_and_explaining_share_the_code() {
        let settings = read([("force-ssl-redirect", "true")], &RuleFacts::default(), Protocol::Http);
        let request = Request {
            method: &http::Method::GET,
            tls: false,
            authority: "a.com",
            host: "a.com",
            path: "/",
            target: "/",
            headers: &http::HeaderMap::new(),
        };
        let mut steps = Vec::new();
        let verdict = run(&settings.plan, &request, |name, verdict| steps.push((name, verdict.clone())));
        assert_eq!(steps, [("tls_redirect", verdict)]);
    }
}
