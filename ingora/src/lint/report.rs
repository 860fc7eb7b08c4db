//! The migration report as data: what carries over, what differs, what needs work.
use std::borrow::Cow;
use std::collections::BTreeMap;

use controller::Loaded;
use features::annotation::Support;
use serde::Serialize;
use translate::{Judged, ObjectRef, Reviewed};

use super::findings::{self, Finding};

/// Errors that ingress-nginx does not have in the same way. All others (a Service that does not exist, a certificate that
/// cannot be read) are faults there, too.
const OURS_ALONE: &[&str] = &["AnnotationParsingFailed", "PathRegexInvalid"];

/// Everything that is told.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) summary: Summary,
    pub(super) namespaces: Vec<Row>,
    pub(super) ingresses: Vec<IngressReport>,
    pub(super) config: Option<ConfigReport>,
    pub(super) findings: Vec<Finding>,
    pub(super) errors: usize,
    pub(super) warnings: usize,
    pub(super) infos: usize,
}

/// How Ingresses carry over.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    /// Ingresses that are judged.
    pub(super) ingresses: usize,
    pub(super) unchanged: usize,
    pub(super) differing: usize,
    pub(super) needing_work: usize,
    /// Among all of them those with faults that they have in ingress-nginx, too.
    pub(super) faulty_before: usize,
    /// Ingresses that others serve, by class; the empty class names none.
    pub(super) other_classes: BTreeMap<String, usize>,
}

/// A namespace.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    pub(super) namespace: String,
    pub(super) ingresses: usize,
    pub(super) annotations: Counts,
    pub(super) errors: usize,
    pub(super) warnings: usize,
}

/// Verdicts, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) honoured: usize,
    pub(super) approximated: usize,
    pub(super) inert: usize,
    pub(super) refused: usize,
    pub(super) unknown: usize,
}

impl Counts {
    fn of(verdicts: &[Verdict]) -> Self {
        let count = |word| verdicts.iter().filter(|verdict| verdict.verdict == word).count();
        Self {
            honoured: count("honoured"),
            approximated: count("approximated"),
            inert: count("inert"),
            refused: count("refused"),
            unknown: count("unknown"),
        }
    }

    fn add(&mut self, other: Self) {
        self.honoured += other.honoured;
        self.approximated += other.approximated;
        self.inert += other.inert;
        self.refused += other.refused;
        self.unknown += other.unknown;
    }
}

/// An Ingress that is judged.
#[derive(Debug, Serialize)]
pub(super) struct IngressReport {
    /// `namespace/name`.
    pub(super) name: String,
    pub(super) file: Option<String>,
    pub(super) line: Option<usize>,
    pub(super) outcome: Outcome,
    pub(super) annotations: Vec<Verdict>,
    #[serde(skip)]
    pub(super) reference: ObjectRef,
}

/// How an Ingress carries over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Unchanged,
    Differs,
    NeedsWork,
}

/// The controller's ConfigMap.
#[derive(Debug, Serialize)]
pub(super) struct ConfigReport {
    /// `namespace/name`.
    pub(super) name: String,
    pub(super) keys: Vec<Verdict>,
}

/// An annotation or a key, and how far it is honoured.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) name: String,
    /// honoured, approximated, inert, refused or unknown.
    pub(super) verdict: &'static str,
    /// What differs, why it means nothing, or what to use instead.
    pub(super) how: Option<Cow<'static, str>>,
}

impl From<&Judged> for Verdict {
    fn from(judged: &Judged) -> Self {
        let (verdict, how) = match judged.verdict {
            Some(Support::Honoured) => ("honoured", None),
            Some(Support::Approximated(how)) => ("approximated", Some(how)),
            Some(Support::Inert(why)) => ("inert", Some(why)),
            Some(Support::Refused(why)) => ("refused", Some(why)),
            None => ("unknown", None),
        };
        Self { name: judged.name.clone(), verdict, how: how.map(Cow::Borrowed) }
    }
}

impl Verdict {
    /// An annotation that is honoured may have a value that differs, which is told of.
    fn of_value(self, differing: &[&Finding]) -> Self {
        let end = format!("/{}]", self.name);
        match differing.iter().find(|finding| finding.field.ends_with(&end)) {
            Some(finding) if self.verdict == "honoured" => {
                let how = finding.message.split_once(": ").map(|(_, how)| how.to_owned().into());
                Self { verdict: "approximated", how, ..self }
            }
            _ => self,
        }
    }
}

impl Report {
    /// Judges what was read.
    pub(super) fn of(loaded: &Loaded) -> Self {
        let findings = findings::all(loaded);
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings, infos) = (count("error"), count("warning"), count("info"));
        let ours = loaded.review.ingresses.iter().filter(|ingress| ingress.ours);
        let ingresses: Vec<_> = ours.map(|ingress| IngressReport::of(loaded, ingress, &findings)).collect();
        let config = loaded.review.config_map.as_ref().map(|object| ConfigReport {
            name: format!("{}/{}", object.namespace, object.name),
            keys: loaded.review.config.iter().map(Verdict::from).collect(),
        });
        Self {
            summary: summary(loaded, &ingresses, &findings),
            namespaces: rows(&ingresses, &findings),
            ingresses,
            config,
            findings,
            errors,
            warnings,
            infos,
        }
    }

    /// Annotations and keys that are not honoured.
    pub(super) fn refused(&self) -> usize {
        let of_ingresses = self.ingresses.iter().flat_map(|ingress| &ingress.annotations);
        let of_config = self.config.iter().flat_map(|config| &config.keys);
        of_ingresses.chain(of_config).filter(|verdict| verdict.verdict == "refused").count()
    }

    /// The namespaces together.
    pub(super) fn total(&self) -> Row {
        let mut total = Row { namespace: "total".to_owned(), ..Row::default() };
        for row in &self.namespaces {
            total.ingresses += row.ingresses;
            total.annotations.add(row.annotations);
            total.errors += row.errors;
            total.warnings += row.warnings;
        }
        total
    }

    /// The findings of one Ingress.
    pub(super) fn findings_of<'a>(&'a self, ingress: &'a IngressReport) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(|finding| finding.reference.as_ref() == Some(&ingress.reference))
    }

    /// What a manager reads, a sentence each.
    pub(super) fn sentences(&self) -> Vec<String> {
        let Summary { ingresses, unchanged, differing, needing_work, faulty_before, other_classes } = &self.summary;
        let mut sentences = Vec::new();
        if *ingresses > 0 {
            sentences.push(format!(
                "{unchanged} of {} over unchanged; {} with differences; {} work.",
                counted(*ingresses, "Ingress carries", "Ingresses carry"),
                counted(*differing, "works", "work"),
                counted(*needing_work, "needs", "need"),
            ));
        }
        if *faulty_before > 0 {
            sentences.push(format!(
                "{} faults that ingress-nginx has with {}, too: what is missing, cannot be used, or is hardly meant so.",
                counted(*faulty_before, "Ingress has", "Ingresses have"),
                if *faulty_before == 1 { "it" } else { "them" },
            ));
        }
        sentences.extend(self.config.as_ref().map(ConfigReport::sentence));
        let others: usize = other_classes.values().sum();
        if others > 0 {
            let named = |(class, count): (&String, &usize)| match class.as_str() {
                "" => format!("{count} without class"),
                class => format!("{count} of class {class}"),
            };
            let classes: Vec<String> = other_classes.iter().map(named).collect();
            sentences.push(format!(
                "{} not judged, being of other controllers: {}. --controller-class, --ingress-class and \
                 --watch-ingress-without-class choose which are judged; for those of ingress-nginx it is --controller-class \
                 k8s.io/ingress-nginx.",
                counted(others, "Ingress is", "Ingresses are"),
                classes.join(", ")
            ));
        }
        sentences
    }
}

impl ConfigReport {
    fn sentence(&self) -> String {
        let Counts { honoured, approximated, inert, refused, unknown } = Counts::of(&self.keys);
        format!(
            "ConfigMap {}: {honoured} of {} as in ingress-nginx, {approximated} with a difference, {inert} without meaning \
             here, {refused} refused, {unknown} unknown.",
            self.name,
            counted(self.keys.len(), "key works", "keys work"),
        )
    }
}

impl IngressReport {
    fn of(loaded: &Loaded, ingress: &Reviewed, findings: &[Finding]) -> Self {
        let origin = loaded.origins.get(&ingress.object);
        let differing = findings.iter().filter(|finding| {
            finding.reference.as_ref() == Some(&ingress.object) && finding.reason == "AnnotationApproximated"
        });
        let differing: Vec<_> = differing.collect();
        let annotations: Vec<_> =
            ingress.annotations.iter().map(|judged| Verdict::from(judged).of_value(&differing)).collect();
        let has = |word| annotations.iter().any(|verdict| verdict.verdict == word);
        let fails = findings.iter().any(|finding| {
            finding.reference.as_ref() == Some(&ingress.object)
                && finding.severity == "error"
                && OURS_ALONE.contains(&finding.reason)
        });
        let outcome = if fails || has("refused") {
            Outcome::NeedsWork
        } else if has("approximated") {
            Outcome::Differs
        } else {
            Outcome::Unchanged
        };
        Self {
            name: format!("{}/{}", ingress.object.namespace, ingress.object.name),
            file: origin.map(|origin| origin.file.display().to_string()),
            line: origin.map(|origin| origin.line),
            outcome,
            annotations,
            reference: ingress.object.clone(),
        }
    }
}

fn summary(loaded: &Loaded, ingresses: &[IngressReport], findings: &[Finding]) -> Summary {
    let count = |outcome| ingresses.iter().filter(|ingress| ingress.outcome == outcome).count();
    let is_old = |finding: &Finding| match finding.severity {
        "error" => !OURS_ALONE.contains(&finding.reason),
        "warning" => finding.reason != "AnnotationRefused",
        _ => false,
    };
    let faulty = |ingress: &&IngressReport| {
        findings.iter().any(|finding| finding.reference.as_ref() == Some(&ingress.reference) && is_old(finding))
    };
    let mut other_classes = BTreeMap::new();
    for ingress in loaded.review.ingresses.iter().filter(|ingress| !ingress.ours) {
        *other_classes.entry(ingress.class.clone()).or_insert(0) += 1;
    }
    Summary {
        ingresses: ingresses.len(),
        unchanged: count(Outcome::Unchanged),
        differing: count(Outcome::Differs),
        needing_work: count(Outcome::NeedsWork),
        faulty_before: ingresses.iter().filter(faulty).count(),
        other_classes,
    }
}

fn rows(ingresses: &[IngressReport], findings: &[Finding]) -> Vec<Row> {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for ingress in ingresses {
        let row = rows.entry(&ingress.reference.namespace).or_default();
        row.ingresses += 1;
        row.annotations.add(Counts::of(&ingress.annotations));
    }
    for finding in findings {
        let namespace = finding.reference.as_ref().map_or("", |object| &*object.namespace);
        if let Some(row) = rows.get_mut(namespace) {
            row.errors += usize::from(finding.severity == "error");
            row.warnings += usize::from(finding.severity == "warning");
        }
    }
    rows.into_iter().map(|(namespace, row)| Row { namespace: namespace.to_owned(), ..row }).collect()
}

/// A number and what it counts.
fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
pub(super) mod testing {
    use std::path::Path;

    use controller::Source;
    use translate::Options;

    use super::Report;

    /// The report on a folder of objects that has everything in it.
    pub(in crate::lint) fn report() -> Report {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/migration");
        let options = Options {
            controller_class: "k8s.io/ingress-nginx".to_owned(),
            configmap: Some(("ingress".to_owned(), "controller".to_owned())),
            ..Options::default()
        };
        Report::of(&controller::load(&Source::Folder(folder), options).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::report;
    use super::*;

    #[test]
    fn the_outcome_of_an_ingress_is_that_of_its_worst_annotation() {
        let report = report();
        let outcome = |name: &str| report.ingresses.iter().find(|ingress| ingress.name == name).unwrap().outcome;
        assert_eq!(outcome("shop/plain"), Outcome::Unchanged);
        assert_eq!(outcome("shop/grpc"), Outcome::Differs);
        assert_eq!(outcome("shop/php"), Outcome::NeedsWork);
        assert_eq!(outcome("team/snippet"), Outcome::NeedsWork);
    }

    #[test]
    fn every_ingress_is_counted_once() {
        let report = report();
        let Summary { ingresses, unchanged, differing, needing_work, .. } = report.summary;
        assert_eq!(ingresses, unchanged + differing + needing_work);
        assert_eq!(ingresses, report.namespaces.iter().map(|row| row.ingresses).sum::<usize>());
        assert_eq!(report.summary.other_classes, BTreeMap::from([("traefik".to_owned(), 1)]));
    }

    #[test]
    fn the_sum_of_the_namespaces_is_the_total() {
        let report = report();
        let annotations = report.ingresses.iter().map(|ingress| ingress.annotations.len()).sum::<usize>();
        let Counts { honoured, approximated, inert, refused, unknown } = report.total().annotations;
        assert_eq!(annotations, honoured + approximated + inert + refused + unknown);
        assert!(honoured > 0 && approximated > 0 && inert > 0 && refused > 0 && unknown > 0);
    }

    #[test]
    fn a_manager_can_read_the_summary() {
        let summary = Summary { ingresses: 230, unchanged: 212, differing: 12, needing_work: 6, ..Summary::default() };
        let report = Report { summary, ..Report::default() };
        assert_eq!(
            report.sentences(),
            ["212 of 230 Ingresses carry over unchanged; 12 work with differences; 6 need work."]
        );
        let summary = Summary { ingresses: 1, differing: 1, ..Summary::default() };
        let report = Report { summary, ..Report::default() };
        assert_eq!(
            report.sentences(),
            ["0 of 1 Ingress carries over unchanged; 1 works with differences; 0 need work."]
        );
    }
}
