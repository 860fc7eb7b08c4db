//! `ingora docs`: the reference documentation, printed from the code that it describes.
mod metrics;

use clap::builder::PossibleValue;
use clap::{Arg, Args, Command, ValueEnum};
use features::annotation::{Row, Support};
use serde::Serialize;
use translate::Options;

use crate::cli::Printed;
use crate::failure::Failure;

/// Flags of `ingora docs`.
#[derive(Args, Debug)]
pub(crate) struct DocsArgs {
    /// What to print: every annotation, every key of the ConfigMap, every flag of `ingora run`, or every metric
    #[arg(value_enum)]
    page: Page,

    /// Form of the page; markdown is what the docs folder holds
    #[arg(long, value_enum, default_value_t = DocsFormat::Text)]
    format: DocsFormat,
}

/// A page of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Page {
    Annotations,
    #[value(name = "configmap")]
    ConfigMap,
    Configuration,
    Metrics,
}

/// Form of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DocsFormat {
    Text,
    Json,
    Markdown,
}

/// One documented thing: an annotation or a flag.
#[derive(Debug, Serialize)]
struct Entry {
    /// The feature or the heading that it belongs to.
    group: String,
    name: String,
    /// Environment variable of a flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    default: String,
    /// Example of an annotation, form of a flag's value.
    example: String,
    sentence: String,
    /// How far an annotation or a key is honoured: honoured, approximated, inert or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    /// What differs, why it means nothing, or what to use instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
}

impl Entry {
    fn of(group: &str, row: &Row) -> Self {
        let (verdict, how) = match row.support {
            Support::Honoured => ("honoured", None),
            Support::Approximated(how) => ("approximated", Some(how)),
            Support::Inert(why) => ("inert", Some(why)),
            Support::Refused(why) => ("refused", Some(why)),
        };
        Self {
            group: group.to_owned(),
            name: row.name.to_owned(),
            environment: None,
            default: row.default.to_owned(),
            example: row.example.to_owned(),
            sentence: row.sentence.to_owned(),
            verdict: Some(verdict),
            how,
        }
    }

    /// The sentence, and what differs.
    fn whole(&self) -> String {
        match (self.verdict, self.how) {
            (Some(verdict), Some(how)) => format!("{} *{verdict}:* {how}", self.sentence),
            _ => self.sentence.clone(),
        }
    }
}

/// A page as data.
struct Document {
    title: &'static str,
    opening: String,
    columns: [&'static str; 4],
    entries: Vec<Entry>,
    closing: String,
}

/// Prints a page; `cli` is the command line that is documented.
pub(crate) fn run(args: &DocsArgs, cli: &Command) -> Result<Printed, Failure> {
    let document = match args.page {
        Page::Annotations => annotations(),
        Page::ConfigMap => config_map(),
        Page::Configuration => configuration(cli),
        Page::Metrics => metrics::document()?,
    };
    let text = match args.format {
        DocsFormat::Text => text(&document),
        DocsFormat::Json => crate::lint::json(&document.entries)?,
        DocsFormat::Markdown => markdown(&document),
    };
    Ok(Printed { text, code: 0 })
}

fn annotations() -> Document {
    let entries = features::catalogue().map(|(group, key)| Entry::of(group, key.row()));
    Document {
        title: "Annotations",
        opening: format!(
            "Names follow the prefix `{}/` (`--annotations-prefix`). They stand on an Ingress and\n\
             hold for all of its paths. A value that cannot be read keeps the default, and `ingora lint` says so. An \
             annotation that is not\nlisted here has no effect, and `ingora lint` says that too.\n",
            Options::default().annotations_prefix
        ),
        columns: ["Annotation", "What it does", "Default", "Example"],
        entries: entries.collect(),
        closing: String::new(),
    }
}

fn config_map() -> Document {
    let mut entries: Vec<Entry> =
        features::config_catalogue().map(|(group, key)| Entry::of(group, key.row())).collect();
    // A key that several features read is told once.
    let mut names = std::collections::BTreeSet::new();
    entries.retain(|entry| names.insert(entry.name.clone()));
    Document {
        title: "ConfigMap",
        opening: "Keys of the ConfigMap that `--configmap namespace/name` names. A change takes effect without a restart. A value \
                  that\ncannot be read keeps its default and never blocks the others; `ingora lint` says so.\n"
            .to_owned(),
        columns: ["Key", "What it does", "Default", "Example"],
        entries,
        closing: String::new(),
    }
}

fn configuration(cli: &Command) -> Document {
    let rows: String = crate::accepted::list().map(|(flag, why)| format!("| `--{flag}` | {why} |\n")).collect();
    let accepted = format!(
        "## Flags of ingress-nginx that do nothing\n\nThey are taken so that its arguments start Ingora as they are. The log \
         tells of each that is given.\n\n| Flag | Why |\n|--|--|\n{rows}"
    );
    let flags = cli.find_subcommand("run").into_iter().flat_map(Command::get_arguments);
    Document {
        title: "Configuration",
        opening: "The flags of `ingora run`. Each can also be set in the environment: `--http-port` is \
                  `INGORA_HTTP_PORT`; a flag beats\nits variable, and those of \
                  flags that it excludes.\n"
            .to_owned(),
        columns: ["Flag", "What it does", "Default", "Value"],
        entries: flags.filter(|arg| arg.get_help_heading().is_some() && !arg.is_hide_set()).map(flag).collect(),
        closing: accepted,
    }
}

fn flag(arg: &Arg) -> Entry {
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    Entry {
        group: arg.get_help_heading().unwrap_or_default().to_owned(),
        name: format!("--{}", arg.get_long().unwrap_or_default()),
        environment: arg.get_env().map(|name| name.to_string_lossy().into_owned()),
        default: default.concat(),
        example: value(arg),
        sentence: format!("{}.", arg.get_help().map(ToString::to_string).unwrap_or_default()),
        verdict: None,
        how: None,
    }
}

/// The choices of a flag, or what its value is called.
fn value(arg: &Arg) -> String {
    let choices = arg.get_possible_values();
    match arg.get_value_names().unwrap_or_default() {
        names if choices.is_empty() => names.join(" "),
        _ => choices.iter().map(PossibleValue::get_name).collect::<Vec<_>>().join(" or "),
    }
}

/// The entries by group, in the order of the list.
fn groups(entries: &[Entry]) -> Vec<(&str, Vec<&Entry>)> {
    let mut groups: Vec<(&str, Vec<&Entry>)> = Vec::new();
    for entry in entries {
        match groups.iter_mut().find(|(name, _)| *name == entry.group) {
            Some((_, list)) => list.push(entry),
            None => groups.push((&entry.group, vec![entry])),
        }
    }
    groups
}

fn text(document: &Document) -> String {
    let mut out = String::new();
    for (group, entries) in groups(&document.entries) {
        out.push_str(&format!("{group}\n"));
        for entry in entries {
            out.push_str(&format!("  {}\n      {}\n", entry.name, entry.whole().replace('*', "")));
            for (title, value) in [("default", &entry.default), (document.columns[3], &entry.example)] {
                if !value.is_empty() {
                    out.push_str(&format!("      {}: {value}\n", title.to_lowercase()));
                }
            }
        }
        out.push('\n');
    }
    out.push_str(&document.closing.replace(['`', '#'], ""));
    out
}

fn markdown(document: &Document) -> String {
    let page = document.title.to_lowercase();
    let mut out = format!(
        "<!-- Printed by `ingora docs {page} --format markdown`; a test keeps it current (UPDATE=1 rewrites it). -->\n\
         # {}\n\n{}\n",
        document.title, document.opening
    );
    for (group, entries) in groups(&document.entries) {
        out.push_str(&format!("## {group}\n\n| {} |\n|--|--|--|--|\n", document.columns.join(" | ")));
        for entry in entries {
            out.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                entry.name,
                cell(&entry.whole()),
                code(&entry.default),
                code(&entry.example)
            ));
        }
        out.push('\n');
    }
    out.push_str(&document.closing);
    format!("{}\n", out.trim_end())
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// A value as code; a sentence stays a sentence.
fn code(text: &str) -> String {
    match text {
        "" => String::new(),
        sentence if sentence.contains(' ') => cell(sentence),
        value => format!("`{}`", cell(value)),
    }
}
