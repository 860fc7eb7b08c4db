//! Words that belong to one person's machine and not into the project.

/// In two parts each, so that this file passes its own check.
const PRIVATE: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/"), concat!("/tmp/", "target")];

/// Complains about each line with an absolute path of someone's machine.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().zip(1..);
    let found = lines.filter_map(|(line, number)| Some((number, PRIVATE.iter().find(|word| holds(line, word))?)));
    found.map(|(number, word)| format!("{path}:{number}: `{word}` is a path of one machine")).collect()
}

/// Does the path begin in the line, rather than stand in the middle of another path or URL?
fn holds(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric() && !matches!(before, '.' | '-' | '_' | '}' | '*' | '~'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_machine_are_found() {
        let text = format!("fine\nsee \"{}x\"\n", PRIVATE[1]);
        assert_eq!(check("a.md", &text), [format!("a.md:2: `{}` is a path of one machine", PRIVATE[1])]);
        assert_eq!(check("a.md", PRIVATE[0]).len(), 1);
    }

    #[test]
    fn the_same_words_inside_a_url_pass() {
        for word in PRIVATE {
            assert_eq!(check("a.md", &format!("curl http://a.com{word}x")), [""; 0]);
        }
    }
}
