//! The command line as users see it: each transcript lists commands, what they print and their exit codes.
//!
//! `UPDATE=1 cargo test -p ingora` rewrites the transcripts from what the commands print now.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of a test may fail")]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Runs one line and writes down everything that it does.
fn transcribe(line: &str) -> String {
    let mut words = split(line);
    let variables: Vec<String> =
        words.drain(..words.iter().take_while(|word| word.starts_with("INGORA_")).count()).collect();
    assert_eq!(words[0], "ingora", "a transcript runs ingora only: {line}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingora"));
    command.args(&words[1..]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // Nothing of the machine may show.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("INGORA_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().filter_map(|variable| variable.split_once('=')));
    command.env_remove("COLUMNS").env_remove("RUST_LOG").env_remove("KUBECONFIG");
    let output = command.output().unwrap();
    let mut text = format!("$ {line}\n{}", String::from_utf8(output.stdout).unwrap());
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        writeln!(text, "{}", format!("stderr: {line}").trim_end()).unwrap();
    }
    writeln!(text, "exit code {}", output.status.code().unwrap()).unwrap();
    let text = text.replace(env!("CARGO_MANIFEST_DIR"), ".");
    text.lines().map(str::trim_end).fold(String::new(), |all, line| all + line + "\n")
}

/// Splits at spaces outside of single quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    words
}

/// Runs the commands of `tests/transcripts/<name>.txt` and compares.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/transcripts/{name}.txt"));
    let want = std::fs::read_to_string(&path).unwrap();
    let commands: Vec<&str> = want.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(!commands.is_empty(), "{name} has no command");
    let got = commands.into_iter().map(transcribe).collect::<Vec<_>>().join("\n");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, got).unwrap();
    } else {
        assert_eq!(got, want, "{name} has changed; UPDATE=1 cargo test -p ingora rewrites it");
    }
}

#[test]
fn help_tells_a_newcomer_what_to_do() {
    check("help");
}

#[test]
fn wrong_usage_is_told_with_the_remedy() {
    check("usage");
}

#[test]
fn explain_names_winner_losers_and_the_answer() {
    check("explain");
}

#[test]
fn explain_tells_each_feature_with_its_source_and_what_it_changes() {
    check("explain-features");
}

#[test]
fn explain_redirects_to_the_gateways_own_port() {
    check("explain-port");
}

#[test]
fn lint_judges_by_severity() {
    check("lint");
}

#[test]
fn lint_is_a_migration_report() {
    check("migration");
}

#[test]
fn the_examples_want_only_pods_and_a_secret() {
    check("examples");
}
