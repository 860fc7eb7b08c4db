//! `rewrite-target` that sends everything below a prefix to one path, or inserts groups that the path does not have.
use table::PathMatch;

use super::{Scene, Seen};
use crate::ingress::Candidate;
use crate::report::Note;
use crate::text::Quoted;

pub(super) fn find(scene: &Scene<'_>) -> Vec<Note> {
    scene.ingresses.iter().flat_map(of_one).collect()
}

fn of_one(seen: &Seen<'_>) -> Vec<Note> {
    let mut notes = seen.notes();
    let Some(target) = seen.annotations.get("rewrite-target") else { return notes.list };
    let highest = highest_group(target);
    for (_, candidate) in seen.candidates().filter(|(_, candidate)| *candidate.text != **target) {
        let path = Quoted(&candidate.text);
        match highest {
            0 if drops(candidate, target) => notes.warning(
                "RewriteDropsPath",
                candidate.place.to_string(),
                format!(
                    "every request below {path} gets the target {}, whatever follows the prefix; to keep it, write the path as \
                     {} and rewrite-target as {}",
                    Quoted(target),
                    Quoted(&format!("{}(/|$)(.*)", candidate.text.trim_end_matches('/'))),
                    Quoted(&format!("{}/$2", target.trim_end_matches('/')))
                ),
            ),
            group if group > groups(&candidate.text) => notes.warning(
                "RewriteWithoutCapture",
                candidate.place.to_string(),
                format!(
                    "rewrite-target inserts ${group}, but the path {path} has {}, so nothing is inserted; add the group to the \
                     path",
                    match groups(&candidate.text) {
                        0 => "no group".to_owned(),
                        1 => "one group only".to_owned(),
                        many => format!("{many} groups only"),
                    }
                ),
            ),
            _ => {}
        }
    }
    notes.list
}

/// Is it a plain prefix of several requests, all of which get one target?
fn drops(candidate: &Candidate, target: &str) -> bool {
    let is_prefix = matches!(candidate.rule.path, PathMatch::Prefix(_)) && !candidate.text.ends_with('$');
    is_prefix && groups(&candidate.text) == 0 && !target.starts_with("http")
}

/// The highest `$1` to `$9`; 0 for none.
fn highest_group(target: &str) -> u32 {
    let digits = target.split('$').skip(1).filter_map(|rest| rest.chars().next()?.to_digit(10));
    digits.max().unwrap_or(0)
}

/// Groups that capture: an opening parenthesis that is not escaped and not followed by a question mark.
fn groups(path: &str) -> u32 {
    let (mut count, mut escaped) = (0, false);
    for (index, char) in path.char_indices() {
        let is_plain = path.get(index + 1..).is_some_and(|rest| rest.starts_with('?') && !rest.starts_with("?P<"));
        count += u32::from(char == '(' && !escaped && !is_plain);
        escaped = char == '\\' && !escaped;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::super::testing::traps_of;
    use super::*;

    #[test]
    fn a_target_without_capture_drops_what_follows_the_prefix() {
        for (path, target, want) in [
            ("/app", "/", 1),
            ("/app", "/other", 1),
            ("/", "/app", 1),
            ("/app", "/app", 0),
            ("/app(/|$)(.*)", "/$2", 0),
            ("/app/(.*)", "/", 0),
            ("/app$", "/", 0),
            ("/app", "https://elsewhere.test/", 0),
        ] {
            assert_eq!(traps_of("RewriteDropsPath", &[path], &[("rewrite-target", target)]), want, "{path} {target}");
        }
    }

    #[test]
    fn groups_that_the_path_lacks_are_told() {
        for (path, target, want) in
            [("/app", "/$1", 1), ("/app/(.*)", "/$2", 1), ("/app/(.*)", "/$1", 0), ("/app(/|$)(.*)", "/$2", 0)]
        {
            assert_eq!(
                traps_of("RewriteWithoutCapture", &[path], &[("rewrite-target", target)]),
                want,
                "{path} {target}"
            );
        }
    }

    #[test]
    fn only_capturing_groups_count() {
        for (path, want) in [("/a", 0), ("/(a)(b)", 2), (r"/\(a\)(b)", 1), ("/(?:a)(?P<n>b)", 1), ("/é(", 1)] {
            assert_eq!(groups(path), want, "{path}");
        }
    }
}
