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

/// Most characters of a sentence that features wrote, and how many of its end stay: that is where the remedy stands.
const SENTENCE: (usize, usize) = (1_000, 300);

/// A sentence that may repeat a user's text: short and without control characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sentence<'a>(pub(crate) &'a str);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, end) = SENTENCE;
        let count = if self.0.len() > most { self.0.chars().count() } else { 0 };
        let (begin, skipped) = if count > most { (most - end, count - most) } else { (count.max(most), 0) };
        self.0.chars().take(begin).try_for_each(|char| visible(char, f))?;
        if skipped > 0 {
            f.write_char('…')?;
            self.0.chars().skip(begin + skipped).try_for_each(|char| visible(char, f))?;
        }
        Ok(())
    }
}

/// Quotation marks stay, which `escape_debug` escapes.
fn visible(char: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match char {
        '"' | '\'' | '\\' => f.write_char(char),
        other => write!(f, "{}", other.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_sentence_begin_and_end_stay() {
        let text = Sentence(&format!("begin {} remedy", "ä".repeat(1_000_000))).to_string();
        assert!(text.starts_with("begin ä") && text.ends_with("ä remedy"));
        assert_eq!(text.chars().count(), SENTENCE.0 + 1);
    }

    #[test]
    fn a_short_sentence_stays_as_it_is() {
        assert_eq!(Sentence("value \"a\\b\" isn't ü").to_string(), "value \"a\\b\" isn't ü");
        assert_eq!(Sentence("a\nb\u{202e}").to_string(), r"a\nb\u{202e}");
    }

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
