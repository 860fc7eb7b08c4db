//! Splits a YAML stream into documents, so that a broken one cannot take its neighbours down.

/// One document of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document<'t> {
    /// The document, with its `---` line if it has one.
    pub(crate) text: &'t str,
    /// Line of the stream on which `text` begins, from 1.
    pub(crate) first_line: usize,
    /// Line of the stream on which the content begins, from 1.
    pub(crate) content_line: usize,
}

/// The documents that hold anything but comments and directives.
///
/// `---` and `...` at the start of a line end a document wherever they stand, even inside a scalar (YAML 1.2.2, rule
/// `c-forbidden`), so no YAML parser is needed to find them.
pub(crate) fn documents(stream: &str) -> Vec<Document<'_>> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let mut documents = Vec::new();
    let (mut rest, mut first_line) = (stream, 1);
    while !rest.is_empty() {
        let (text, after) = rest.split_at(end_of_first(rest));
        if let Some(offset) = text.lines().position(has_content) {
            documents.push(Document { text: without_end_marker(text), first_line, content_line: first_line + offset });
        }
        first_line += text.matches('\n').count();
        rest = after;
    }
    documents
}

/// Where the first document of the stream ends, in bytes.
fn end_of_first(stream: &str) -> usize {
    let mut end = 0;
    for (index, line) in stream.split_inclusive('\n').enumerate() {
        if is_marker(line, "...") {
            return end + line.len();
        }
        if index > 0 && is_marker(line, "---") {
            return end;
        }
        end += line.len();
    }
    end
}

fn without_end_marker(text: &str) -> &str {
    let last = text.split_inclusive('\n').next_back().unwrap_or_default();
    if is_marker(last, "...") { text.strip_suffix(last).unwrap_or(text) } else { text }
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn has_content(line: &str) -> bool {
    let line = if is_marker(line, "---") { line.trim_start_matches('-') } else { line };
    let content = line.trim();
    !content.is_empty() && !content.starts_with('#') && !line.starts_with('%') && !is_marker(line, "...")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(stream: &str) -> Vec<(&str, usize, usize)> {
        documents(stream).into_iter().map(|d| (d.text, d.first_line, d.content_line)).collect()
    }

    #[test]
    fn documents_know_their_lines() {
        assert_eq!(split("a: 1\n---\n# c\n\nb: 2\n"), [("a: 1\n", 1, 1), ("---\n# c\n\nb: 2\n", 2, 5)]);
    }

    #[test]
    fn empty_documents_and_comments_are_none() {
        assert_eq!(split("---\n---\n# only a comment\n---\r\n\n...\n"), []);
        assert_eq!(split(""), []);
    }

    #[test]
    fn content_may_follow_the_marker() {
        assert_eq!(split("--- {a: 1}\n--- # b\nb: 2"), [("--- {a: 1}\n", 1, 1), ("--- # b\nb: 2", 2, 3)]);
    }

    #[test]
    fn indented_and_longer_dashes_are_content() {
        let stream = "a: |\n  ---\n  ...\n-----BEGIN: 1\n";
        assert_eq!(split(stream), [(stream, 1, 1)]);
    }

    #[test]
    fn an_end_marker_ends_the_document() {
        assert_eq!(split("a: 1\n...\nb: 2\n"), [("a: 1\n", 1, 1), ("b: 2\n", 3, 3)]);
    }

    #[test]
    fn windows_line_ends_and_byte_order_marks_are_understood() {
        assert_eq!(split("\u{feff}a: 1\r\n---\r\nb: 2\r\n"), [("a: 1\r\n", 1, 1), ("---\r\nb: 2\r\n", 2, 3)]);
    }

    #[test]
    fn directives_belong_to_no_document() {
        assert_eq!(split("%YAML 1.2\n---\na: 1\n"), [("---\na: 1\n", 2, 3)]);
    }
}
