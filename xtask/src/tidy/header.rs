//! Every file of code opens with what it is for.

/// Complains about a file that does not.
pub(super) fn check(path: &str, text: &str) -> Option<String> {
    let sentence = text.lines().next().and_then(|line| line.strip_prefix("//!")).map(str::trim);
    match sentence {
        Some(sentence) if !sentence.is_empty() => None,
        _ => Some(format!("{path}: the first line must be a `//!` comment that says what the file is for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_module_doc() {
        assert_eq!(check("a.rs", "//! Does things.\nmod x;\n"), None);
        for text in ["mod x;\n//! Late.\n", "//!\n//! Late.\n", "// Plain.\n", "\n//! Late.\n", ""] {
            assert!(check("a.rs", text).is_some(), "{text:?}");
        }
    }
}
