//! A document, or an item of a list, that can be read as a type: errors know their line, unknown fields their path.
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

use crate::document::Document;
use crate::manifest::Problem;

/// Most bytes of a manifest file; the API server takes objects of at most 1.5 MB.
pub(crate) const MAX_FILE: usize = 10 << 20;

/// Something that can be read as a type.
#[derive(Debug)]
pub(crate) enum Node<'t> {
    /// A document of a YAML stream.
    Yaml(Document<'t>),
    /// A JSON file.
    Json(&'t str),
    /// An item of a list, with its line in the file.
    Item(usize, Value),
}

#[derive(Deserialize)]
struct YamlList {
    #[serde(default)]
    items: Vec<Spanned<Value>>,
}

#[derive(Deserialize)]
struct JsonList {
    #[serde(default)]
    items: Vec<Value>,
}

impl Node<'_> {
    /// Where it begins.
    pub(crate) fn line(&self) -> usize {
        match self {
            Self::Yaml(document) => document.content_line,
            Self::Json(_) => 1,
            Self::Item(line, _) => *line,
        }
    }

    /// Reads it as a `T`; tells the path of every field that `T` does not know.
    pub(crate) fn parse<T: DeserializeOwned>(&self, unknown: &mut dyn FnMut(String)) -> Result<T, Problem> {
        let mut ignored = |path: Path<'_>| unknown(field_path(&path));
        match self {
            Self::Yaml(document) => {
                serde_saphyr::with_deserializer_from_str_with_options(document.text, yaml_options(), |deserializer| {
                    serde_ignored::deserialize(deserializer, &mut ignored)
                })
                .map_err(|error| yaml_problem(document, &error))
            }
            Self::Json(text) => {
                let mut deserializer = serde_json::Deserializer::from_str(text);
                serde_ignored::deserialize(&mut deserializer, &mut ignored)
                    .and_then(|value| deserializer.end().map(|()| value))
                    .map_err(|error| json_problem(&error))
            }
            Self::Item(line, value) => {
                serde_ignored::deserialize(value, &mut ignored).map_err(|error: serde_json::Error| Problem {
                    line: *line,
                    message: format!("{error}; correct the item"),
                })
            }
        }
    }

    /// May it hold a Secret, as far as can be told of what cannot be read?
    pub(crate) fn may_be_secret(&self) -> bool {
        let has_signs = |text: &str| ["Secret", "PRIVATE KEY"].iter().any(|sign| text.contains(sign));
        match self {
            Self::Yaml(document) => has_signs(document.text),
            Self::Json(text) => has_signs(text),
            Self::Item(_, value) => has_signs(&value.to_string()),
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Result<Vec<Node<'static>>, Problem> {
        match self {
            Self::Yaml(document) => {
                let list: YamlList = self.parse(&mut |_| {})?;
                let item =
                    |item: Spanned<Value>| Node::Item(line_in_file(document, item.referenced.line()), item.value);
                Ok(list.items.into_iter().map(item).collect())
            }
            Self::Json(_) | Self::Item(..) => {
                let list: JsonList = self.parse(&mut |_| {})?;
                Ok(list.items.into_iter().map(|item| Node::Item(self.line(), item)).collect())
            }
        }
    }
}

/// Limits that hold for one document. A file's size already bounds what it spells out, so these are about aliases,
/// which let a few bytes stand for gigabytes, and about the depth of the stack.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MAX_FILE, max_events: MAX_FILE, max_depth: 64 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        no_schema: true,
        with_snippet: false,
    }
}

fn yaml_problem(document: &Document<'_>, error: &serde_saphyr::Error) -> Problem {
    let line = match error.location().map(|location| location.line()) {
        Some(line) if line > 0 => line_in_file(document, line),
        _ => document.content_line,
    };
    let message = match error {
        serde_saphyr::Error::QuotingRequired { .. } => {
            "a text is needed but YAML reads this as another type; put it in quotes".to_owned()
        }
        _ => format!("{}; correct this line", UserMessageFormatter.format_message(error)),
    };
    Problem { line, message }
}

fn line_in_file(document: &Document<'_>, line: u64) -> usize {
    document.first_line + usize::try_from(line).unwrap_or(1).saturating_sub(1)
}

fn json_problem(error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    // The position is told by the line already.
    let sentence = message.rsplit_once(" at line ").map_or(message.as_str(), |(sentence, _)| sentence);
    Problem { line: error.line().max(1), message: format!("{sentence}; correct this line") }
}

/// Writes a path as Kubernetes does: `spec.rules[0].host`.
fn field_path(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", field_path(parent)),
        Path::Map { parent, key } => match field_path(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => field_path(parent),
    }
}
