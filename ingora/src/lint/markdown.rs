//! The report as a document: the summary first, then namespaces, then what needs work, then what differs.
use super::findings::Finding;
use super::report::{IngressReport, Outcome, Report};
use super::text;

/// Writes the report.
pub(super) fn render(report: &Report) -> String {
    let mut out = "# Migration report\n\n".to_owned();
    for (index, sentence) in report.sentences().iter().enumerate() {
        let bold = if index == 0 && report.summary.ingresses > 0 { "**" } else { "" };
        out.push_str(&format!("{bold}{}{bold}\n\n", escape(sentence)));
    }
    out.push_str(&format!("Findings: {}.\n\n", text::counted(report)));
    if !report.namespaces.is_empty() {
        out.push_str(&table(report));
    }
    out.push_str(&ingresses(report, "Need work", Outcome::NeedsWork));
    out.push_str(&ingresses(report, "Work with differences", Outcome::Differs));
    out.push_str(&others(report));
    format!("{}\n", out.trim_end())
}

fn table(report: &Report) -> String {
    let mut out = "## Namespaces\n\n\
        | Namespace | Ingresses | Honoured | Approximated | Inert | Refused | Unknown | Errors | Warnings |\n\
        |--|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    let total = report.total();
    for row in report.namespaces.iter().chain(Some(&total).filter(|_| report.namespaces.len() > 1)) {
        out.push_str(&format!("| {} | {} |\n", escape(&row.namespace), text::cells(row).join(" | ")));
    }
    out.push('\n');
    out
}

/// The Ingresses of one outcome, each with its findings.
fn ingresses(report: &Report, title: &str, outcome: Outcome) -> String {
    let listed: Vec<&IngressReport> = report.ingresses.iter().filter(|ingress| ingress.outcome == outcome).collect();
    if listed.is_empty() {
        return String::new();
    }
    let mut out = format!("## {title}\n\n");
    for ingress in listed {
        let place = ingress.file.as_ref().zip(ingress.line).map(|(file, line)| format!(" ({file}:{line})"));
        out.push_str(&format!("### {}{}\n\n", escape(&ingress.name), escape(&place.unwrap_or_default())));
        report.findings_of(ingress).for_each(|finding| out.push_str(&bullet(finding, false)));
        out.push('\n');
    }
    out
}

/// Findings of all other objects.
fn others(report: &Report) -> String {
    let is_listed = |finding: &&Finding| {
        let told = report.ingresses.iter().filter(|ingress| ingress.outcome != Outcome::Unchanged);
        !told.map(|ingress| Some(&ingress.reference)).any(|reference| finding.reference.as_ref() == reference)
    };
    let lines: String = report.findings.iter().filter(is_listed).map(|finding| bullet(finding, true)).collect();
    if lines.is_empty() { lines } else { format!("## Other findings\n\n{lines}\n") }
}

fn bullet(finding: &Finding, with_object: bool) -> String {
    let object = finding.object.iter().filter(|_| with_object).map(|object| format!(" {}", escape(object)));
    let place = finding.place().filter(|_| with_object).map(|place| format!(" ({})", escape(&place)));
    let field = if finding.field.is_empty() { String::new() } else { format!(" {}", escape(&finding.field)) };
    format!(
        "- **{}**{}{}{field}: {} ({})\n",
        finding.severity,
        object.collect::<String>(),
        place.unwrap_or_default(),
        escape(&finding.message),
        finding.reason
    )
}

/// Text that shows as it is: users' text must not become markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~') {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::report;
    use super::*;

    #[test]
    fn every_finding_stands_once() {
        let report = report();
        let text = render(&report);
        assert_eq!(text.lines().filter(|line| line.starts_with("- **")).count(), report.findings.len());
    }

    #[test]
    fn users_text_is_no_markup() {
        assert_eq!(escape("<b>[a](b)|*"), r"\<b\>\[a\](b)\|\*");
    }
}
