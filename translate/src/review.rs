//! What a migration report is made of: every Ingress with the verdict on each of its annotations, the keys of the
//! controller's ConfigMap, and traps. Looked at once, for `lint` and `explain`; serving needs nothing of it.
use features::annotation::Support;
use k8s_openapi::api::networking::v1::Ingress;

use crate::annotations::OWN;
use crate::class::OLD_ANNOTATION;
use crate::object::{Kind, ObjectRef};
use crate::report::Note;
use crate::snapshot::Key;
use crate::translator::Translator;
use crate::traps;

/// What there is to say about a state besides its notes.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// Every Ingress, ours or not, by namespace and name.
    pub ingresses: Vec<Reviewed>,
    /// The controller's ConfigMap, if one is named.
    pub config_map: Option<ObjectRef>,
    /// Its keys.
    pub config: Vec<Judged>,
    /// What serves as written, but hardly as meant.
    pub traps: Vec<Note>,
}

/// One Ingress.
#[derive(Clone, Debug)]
pub struct Reviewed {
    /// Its name.
    pub object: ObjectRef,
    /// Do we serve it?
    pub ours: bool,
    /// The class that it names; empty for none.
    pub class: String,
    /// Its annotations below our prefixes that have a value.
    pub annotations: Vec<Judged>,
}

/// An annotation or a key with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its name; of an annotation without ingress-nginx's prefix.
    pub name: String,
    /// How far it is honoured; `None` when it is not known.
    pub verdict: Option<Support>,
}

impl Translator {
    /// Looks at everything that was published last.
    #[must_use]
    pub fn review(&self) -> Review {
        let key = |object: &ObjectRef| Key { namespace: object.namespace.clone(), name: object.name.clone() };
        let ingresses = self.objects(Kind::Ingress).filter_map(|object| {
            let key = key(&object);
            let ingress = self.snapshot.get_ingress(&key)?;
            let ours = self.ingresses.get(&key).is_some_and(|state| state.ours);
            let annotations = self.own_annotations(ingress).map(|(name, _)| self.judge(name)).collect();
            Some(Reviewed { object, ours, class: class(ingress).to_owned(), annotations })
        });
        let named = self.options.configmap.as_ref();
        let verdict = |name: &str| features::config_row(name).map(|row| row.support);
        let config = self.config.iter().map(|(name, _)| Judged { name: name.to_owned(), verdict: verdict(name) });
        Review {
            ingresses: ingresses.collect(),
            config_map: named.map(|(namespace, name)| Key::new(namespace, name).reference(Kind::ConfigMap)),
            config: config.collect(),
            traps: traps::find(self),
        }
    }

    /// Annotations that we read, names without ingress-nginx's prefix, values trimmed and not empty.
    pub(crate) fn own_annotations<'a>(&'a self, ingress: &'a Ingress) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = ingress.metadata.annotations.iter().flatten();
        let ours = all.filter_map(|(name, value)| Some((self.stripped(name)?, value.trim())));
        ours.filter(|(_, value)| !value.is_empty())
    }

    fn stripped<'a>(&self, name: &'a str) -> Option<&'a str> {
        let theirs = || name.strip_prefix(&*self.options.annotations_prefix)?.strip_prefix('/');
        name.starts_with(OWN).then_some(name).or_else(theirs)
    }

    fn judge(&self, name: &str) -> Judged {
        let support = features::annotation_row(name).map(|row| row.support);
        let verdict = match support {
            // Which of the two it is decides the operator's flag.
            Some(Support::Approximated(how)) if name.ends_with("-snippet") && !self.options.translate_snippets => {
                Some(Support::Refused(how))
            }
            other => other,
        };
        Judged { name: name.to_owned(), verdict }
    }
}

fn class(ingress: &Ingress) -> &str {
    let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    let old = || ingress.metadata.annotations.as_ref()?.get(OLD_ANNOTATION).map(String::as_str);
    field.filter(|name| !name.is_empty()).or_else(old).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traps::testing::{Cluster, ingress};

    #[test]
    fn every_annotation_has_its_verdict_and_strangers_are_left_out() {
        let mut cluster = Cluster::default();
        cluster.add(ingress(
            "a",
            "a.test",
            &["/"],
            &[
                ("nginx.ingress.kubernetes.io/enable-cors", "true"),
                ("nginx.ingress.kubernetes.io/proxy-buffers-number", "4"),
                ("nginx.ingress.kubernetes.io/fastcgi-index", "a.php"),
                ("nginx.ingress.kubernetes.io/nonsense", "x"),
                ("nginx.ingress.kubernetes.io/app-root", " "),
                ("cert-manager.io/issuer", "x"),
            ],
        ));
        let review = cluster.review();
        let verdicts: Vec<_> = review.ingresses[0]
            .annotations
            .iter()
            .map(|judged| {
                let verdict = match judged.verdict {
                    Some(Support::Honoured | Support::Approximated(_)) => "works",
                    Some(Support::Inert(_)) => "inert",
                    Some(Support::Refused(_)) => "refused",
                    None => "unknown",
                };
                (judged.name.as_str(), verdict)
            })
            .collect();
        assert_eq!(
            verdicts,
            [
                ("enable-cors", "works"),
                ("fastcgi-index", "refused"),
                ("nonsense", "unknown"),
                ("proxy-buffers-number", "inert"),
            ]
        );
    }

    #[test]
    fn a_snippet_is_refused_unless_it_is_translated() {
        for (translate_snippets, refused) in [(false, true), (true, false)] {
            let mut cluster = Cluster::default();
            cluster.options.translate_snippets = translate_snippets;
            let snippet = [("nginx.ingress.kubernetes.io/configuration-snippet", "add_header X-A b;")];
            cluster.add(ingress("a", "a.test", &["/"], &snippet));
            let verdict = cluster.review().ingresses[0].annotations[0].verdict;
            assert_eq!(matches!(verdict, Some(Support::Refused(_))), refused);
        }
    }

    #[test]
    fn ingresses_of_others_name_their_class() {
        let mut cluster = Cluster::default();
        let mut other = ingress("a", "a.test", &["/"], &[]);
        other.spec.get_or_insert_default().ingress_class_name = Some("nginx".to_owned());
        cluster.add(other);
        let review = cluster.review();
        assert_eq!((review.ingresses[0].ours, review.ingresses[0].class.as_str()), (false, "nginx"));
    }
}
