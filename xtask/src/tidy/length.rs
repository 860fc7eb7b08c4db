//! Long files and functions are shown, not forbidden: sometimes one long table is the clear form.

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 60;

/// Names the file if it is long, and its long functions.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let file = (lines.len() > FILE_LINES).then(|| format!("{path}: {} lines", lines.len()));
    let functions = (0..lines.len()).filter_map(|start| {
        let (name, length) = function(lines.get(start..)?)?;
        (length > FUNCTION_LINES).then(|| format!("{path}:{}: fn {name} has {length} lines", start + 1))
    });
    file.into_iter().chain(functions).collect()
}

/// Name and number of lines of the function that begins on the first line, going by rustfmt's indentation.
fn function<'t>(lines: &[&'t str]) -> Option<(&'t str, usize)> {
    let first = lines.first()?;
    let name = function_name(first.trim_start())?;
    let indent = indent(first);
    let mut end = lines.iter().enumerate().filter(|(_, line)| self::indent(line) == indent && !line.trim().is_empty());
    // The line that ends the function: its brace, or the `;` of a declaration without body.
    let (last, _) = end.find(|(_, line)| line.ends_with(['}', ';']))?;
    Some((name, last + 1))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn function_name(line: &str) -> Option<&str> {
    const BEFORE: &[&str] = &["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "default"];
    let mut words = line.split(' ').skip_while(|word| BEFORE.contains(word));
    words.next().filter(|word| *word == "fn")?;
    words.next()?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_body(head: &str, lines: usize) -> String {
        let indent = " ".repeat(indent(head));
        format!("{head} {{\n{}{indent}}}\n", format!("{indent}    x();\n").repeat(lines))
    }

    #[test]
    fn long_functions_are_named_with_their_place() {
        let text = format!("//! X.\n{}", with_body("    pub(crate) async fn long<T>(t: T)", FUNCTION_LINES));
        assert_eq!(check("a.rs", &text), [format!("a.rs:2: fn long has {} lines", FUNCTION_LINES + 2)]);
    }

    #[test]
    fn short_functions_and_declarations_pass() {
        let mut text = with_body("fn short()", FUNCTION_LINES - 2);
        text.push_str("    fn declared(\n        x: u8,\n    );\n");
        text.push_str("fn one_line() {}\n");
        text.push_str(&"// fn comment\n".repeat(100));
        assert_eq!(check("a.rs", &text), [""; 0]);
    }

    #[test]
    fn long_files_are_named() {
        assert_eq!(check("a.rs", &"\n".repeat(FILE_LINES)), [""; 0]);
        assert_eq!(check("a.rs", &"\n".repeat(FILE_LINES + 1)), ["a.rs: 401 lines"]);
    }
}
