//! Users' text inside messages: short and without control characters.
use std::fmt::{self, Write};

/// Most characters of a user's text that a message repeats.
const LIMIT: usize = 100;

/// The text in quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Plain(self.0))
    }
}

/// The text without quotes, for the path of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for char in chars.by_ref().take(LIMIT) {
            write!(f, "{}", char.escape_debug())?;
        }
        if chars.next().is_some() {
            f.write_char('…')?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut() {
        let text = "ä".repeat(1_000_000);
        assert_eq!(Quoted(&text).to_string().chars().count(), LIMIT + 3);
        assert_eq!(Quoted("short").to_string(), "\"short\"");
    }

    #[test]
    fn control_and_bidirectional_characters_are_escaped() {
        assert_eq!(Quoted("a\n\u{1b}[31m\u{202e}\"").to_string(), r#""a\n\u{1b}[31m\u{202e}\"""#);
    }
}
