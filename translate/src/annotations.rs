//! The annotations of one Ingress, read once for each kind of rule that it has.
use std::collections::BTreeSet;
use std::sync::Arc;

use features::annotation::{Config, OnError, Support};
use features::{Balance, ClusterSettings, HostSettings, Input, Objects, Protocol, RuleFacts, Settings};
use k8s_openapi::api::networking::v1::Ingress;
use table::HostPattern;

use crate::notes::Notes;
use crate::options::Options;
use crate::text::{Plain, Sentence};

/// The prefix of annotations that ingress-nginx does not have. Unlike the other one it is not an option, and the names keep
/// it.
pub(crate) const OWN: &str = "ingora.io/";

/// What settings depend on besides the annotations.
type Kind = (RuleFacts, Protocol, Option<Balance>);

/// Annotations whose names have lost the prefix; those without it belong to others.
pub(crate) struct Annotations<'a> {
    prefix: &'a str,
    config: &'a Config,
    objects: &'a dyn Objects,
    translate_snippets: bool,
    values: Vec<(&'a str, &'a str)>,
    read: Vec<(Kind, Settings)>,
}

impl<'a> Annotations<'a> {
    pub(crate) fn new(
        ingress: &'a Ingress,
        options: &'a Options,
        config: &'a Config,
        objects: &'a dyn Objects,
    ) -> Self {
        let (prefix, translate_snippets) = (&*options.annotations_prefix, options.translate_snippets);
        let ours = |name: &'a str| name.starts_with(OWN).then_some(name);
        let theirs = |name: &'a str| name.strip_prefix(prefix)?.strip_prefix('/');
        let strip = |name: &'a str| ours(name).or_else(|| theirs(name));
        let values = ingress.metadata.annotations.iter().flatten();
        let values = values.filter_map(|(name, value)| Some((strip(name)?, &**value))).collect();
        Self { prefix, config, objects, translate_snippets, values, read: Vec::new() }
    }

    /// May paths of the Ingress be regular expressions?
    pub(crate) fn may_be_regex(&self) -> bool {
        self.values.iter().any(|(name, _)| ["use-regex", "rewrite-target"].contains(name))
    }

    /// What they say about a rule.
    pub(crate) fn settings(&mut self, facts: RuleFacts, protocol: Protocol, balance: Option<Balance>) -> &Settings {
        let kind = (facts, protocol, balance);
        let index = self.read.iter().position(|(known, _)| *known == kind).unwrap_or(self.read.len());
        if index == self.read.len() {
            let input = Input {
                config: self.config,
                objects: self.objects,
                facts,
                protocol,
                balance,
                translate_snippets: self.translate_snippets,
            };
            let settings = features::read(self.values.iter().copied(), &input);
            self.read.push((kind, settings));
        }
        #[expect(clippy::indexing_slicing, reason = "the entry was found or pushed above")]
        &self.read[index].1
    }

    /// What they say about clusters, if they say something. It is the same for all kinds of rules.
    pub(crate) fn cluster(&self) -> Option<Arc<ClusterSettings>> {
        let (_, settings) = self.read.first()?;
        (settings.cluster != ClusterSettings::default()).then(|| Arc::new(settings.cluster.clone()))
    }

    /// What they ask of the hosts of the Ingress: the same for all rules.
    pub(crate) fn host(&self, options: &Options, notes: &mut Notes) -> HostSettings {
        let mut host = self.read.first().map(|(_, settings)| settings.host.clone()).unwrap_or_default();
        if host.passthrough && !options.enable_ssl_passthrough {
            host.passthrough = false;
            let message = "annotation ssl-passthrough has no effect, and the gateway ends TLS itself; start it with \
                           --enable-ssl-passthrough";
            notes.warning("AnnotationIgnored", self.field("ssl-passthrough"), message.to_owned());
        }
        host
    }

    /// Further names of the hosts of the Ingress: the same for all rules.
    pub(crate) fn aliases(&self) -> Arc<[HostPattern]> {
        self.read.first().map(|(_, settings)| settings.aliases.iter().cloned().collect()).unwrap_or_default()
    }

    /// The status with which the siblings of its hosts redirect, if they do.
    pub(crate) fn www_redirect(&self) -> Option<u16> {
        self.read.first()?.1.www_redirect
    }

    /// Notes what is wrong, each problem once; tells the worst that it does to the rules.
    pub(crate) fn report(&mut self, notes: &mut Notes) -> Option<OnError> {
        if self.read.is_empty() {
            self.settings(RuleFacts::default(), Protocol::default(), None);
        }
        let problems: BTreeSet<_> = self
            .read
            .iter()
            .flat_map(|(_, settings)| &settings.problems)
            .map(|problem| (&problem.name, &problem.message, problem.effect))
            .collect();
        for (name, message, effect) in &problems {
            let field = self.field(name);
            // What is wrong is told either of the annotation or of its value.
            let colon = if message.starts_with("the ") { ":" } else { "" };
            let told = format!("annotation {}{colon} {}", Plain(name), Sentence(message));
            match effect {
                OnError::Reject => notes.error("AnnotationParsingFailed", field, told),
                OnError::Close => notes.error("AnnotationParsingFailed", field, told),
                OnError::Default => notes.warning("AnnotationIgnored", field, told),
                OnError::Differs => notes.info("AnnotationApproximated", field, differs(name, message)),
            }
        }
        let worst = problems.iter().map(|(_, _, effect)| *effect).max();
        let wrong: BTreeSet<&str> = problems.iter().map(|(name, _, _)| name.as_str()).collect();
        for (name, _) in self.values.iter().filter(|(name, value)| !value.trim().is_empty() && !wrong.contains(name)) {
            self.report_verdict(name, notes);
        }
        worst
    }

    /// Tells of an annotation that works, but not as in ingress-nginx.
    fn report_verdict(&self, name: &str, notes: &mut Notes) {
        match features::annotation_row(name).map(|row| row.support) {
            Some(Support::Approximated(how)) => {
                notes.info("AnnotationApproximated", self.field(name), differs(name, how));
            }
            Some(Support::Refused(why)) => {
                let message = format!("annotation {name} is not honoured: {}", why.trim_end_matches('.'));
                notes.warning("AnnotationRefused", self.field(name), message);
            }
            Some(Support::Honoured | Support::Inert(_)) | None => {}
        }
    }

    fn field(&self, name: &str) -> String {
        if name.starts_with(OWN) {
            format!("metadata.annotations[{}]", Plain(name))
        } else {
            format!("metadata.annotations[{}/{}]", self.prefix, Plain(name))
        }
    }
}

fn differs(name: &str, how: &str) -> String {
    format!("annotation {} is honoured with a difference: {}", Plain(name), Sentence(how.trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Kind as ObjectKind;
    use crate::snapshot::Key;
    use features::NoObjects;

    fn ingress(annotations: &[(&str, &str)]) -> Ingress {
        let mut ingress = Ingress::default();
        let owned = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ingress.metadata.annotations = Some(owned.collect());
        ingress
    }

    fn report(annotations: &[(&str, &str)]) -> (bool, Vec<(&'static str, String)>) {
        let ingress = ingress(annotations);
        let config = Config::default();
        let options = Options { annotations_prefix: "p".to_owned(), ..Options::default() };
        let mut annotations = Annotations::new(&ingress, &options, &config, &NoObjects);
        for host_has_tls in [false, true] {
            annotations.settings(RuleFacts { host_has_tls }, Protocol::Http, None);
        }
        let mut notes = Notes::new(Key::new("ns", "a").reference(ObjectKind::Ingress));
        let closed = annotations.report(&mut notes) == Some(OnError::Close);
        (closed, notes.list.into_iter().map(|note| (note.reason, note.field)).collect())
    }

    #[test]
    fn what_is_refused_is_told_and_what_means_nothing_is_not() {
        let (closed, notes) = report(&[("p/fastcgi-index", "index.php"), ("p/http2-push-preload", "true")]);
        assert!(!closed);
        assert_eq!(notes, [("AnnotationRefused", "metadata.annotations[p/fastcgi-index]".to_owned())]);
    }

    #[test]
    fn a_problem_is_told_once_and_only_below_our_prefix() {
        let (closed, notes) = report(&[("p/nonsense", "x"), ("pp/nonsense", "x"), ("other/nonsense", "x")]);
        assert!(!closed);
        assert_eq!(notes, [("AnnotationIgnored", "metadata.annotations[p/nonsense]".to_owned())]);
    }

    #[test]
    fn our_own_annotations_keep_their_prefix() {
        let (_, notes) = report(&[("ingora.io/nonsense", "x")]);
        assert_eq!(notes, [("AnnotationIgnored", "metadata.annotations[ingora.io/nonsense]".to_owned())]);
    }

    #[test]
    fn an_unsupported_protection_closes() {
        let (closed, notes) = report(&[("p/enable-modsecurity", "true")]);
        assert!(closed);
        assert_eq!(notes[0].0, "AnnotationParsingFailed");
    }
}
