//! Escapes of the access log. None of them lets a value end a line or reach a terminal as a control character.
use std::fmt::{self, Write as _};
use std::io::Write;

/// nginx's default: quotes, backslashes and all that is not printable ASCII become `\xXX`.
pub(super) fn put_printable(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => hex(*byte, out),
            byte => out.push(*byte),
        }
    }
}

/// As it is, but for what ends lines or is a control character.
pub(super) fn put_without_controls(value: &[u8], out: &mut Vec<u8>) {
    for chunk in value.utf8_chunks() {
        for char in chunk.valid().chars() {
            let mut bytes = [0; 4];
            let bytes = char.encode_utf8(&mut bytes).as_bytes();
            if is_unfit(char) {
                bytes.iter().for_each(|byte| hex(*byte, out));
            } else {
                out.extend_from_slice(bytes);
            }
        }
        chunk.invalid().iter().for_each(|byte| hex(*byte, out));
    }
}

/// For the inside of a JSON string; bytes that are not UTF-8 are replaced.
pub(super) fn put_json(value: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(value);
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend([b'\\', char as u8]),
            '\n' => out.extend(b"\\n"),
            '\r' => out.extend(b"\\r"),
            '\t' => out.extend(b"\\t"),
            '\u{8}' => out.extend(b"\\b"),
            '\u{c}' => out.extend(b"\\f"),
            // Writing to a Vec cannot fail.
            char => write!(out, "{}", Escaped(char.encode_utf8(&mut [0; 4]))).unwrap_or_default(),
        }
    }
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    write!(out, "\\x{byte:02X}").unwrap_or_default();
}

/// Controls, and what some readers take for the end of a line.
fn is_unfit(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

/// A text for the inside of a JSON string whose quotes and backslashes are escaped already: what JSON leaves alone but
/// terminals act on or readers take for the end of a line is escaped.
pub(super) struct Escaped<'t>(pub(super) &'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            char if is_unfit(char) => write!(f, "\\u{:04x}", u32::from(char)),
            _ => f.write_char(char),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(put: fn(&[u8], &mut Vec<u8>), value: &[u8]) -> String {
        let mut out = Vec::new();
        put(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_escape_is_nginxs() {
        let value = "a\"\\\n\u{7f}é".as_bytes();
        assert_eq!(escaped(put_printable, value), r"a\x22\x5C\x0A\x7F\xC3\xA9");
        assert_eq!(escaped(put_without_controls, value), "a\"\\\\x0A\\x7Fé");
        assert_eq!(escaped(put_json, value), r#"a\"\\\n\u007fé"#);
    }

    #[test]
    fn bytes_that_are_not_utf_8_harm_nobody() {
        assert_eq!(escaped(put_without_controls, b"a\xffz"), r"a\xFFz");
        assert_eq!(escaped(put_json, b"a\xffz"), "a\u{fffd}z");
    }
}
