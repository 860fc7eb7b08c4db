//! The report for a terminal: findings, then the table of namespaces, then the summary, which is what stays in view.
use super::report::{Report, Row};

/// Columns of the table after the namespace.
const COLUMNS: [&str; 8] =
    ["Ingresses", "honoured", "approximated", "inert", "refused", "unknown", "errors", "warnings"];

/// Writes the report.
pub(super) fn render(report: &Report) -> String {
    let mut out = findings(report);
    if !report.namespaces.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&table(report));
        out.push('\n');
    }
    for sentence in report.sentences() {
        out.push_str(&sentence);
        out.push('\n');
    }
    out.push_str(&counted(report));
    out.push('\n');
    out
}

fn findings(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        if let Some(place) = finding.place() {
            out.push_str(&format!("{place}: "));
        }
        out.push_str(finding.severity);
        out.push_str(": ");
        if let Some(object) = &finding.object {
            out.push_str(object);
            out.push_str(": ");
        }
        if !finding.field.is_empty() {
            out.push_str(&finding.field);
            out.push_str(": ");
        }
        out.push_str(&format!("{} ({})\n", finding.message, finding.reason));
    }
    out
}

fn table(report: &Report) -> String {
    let total = report.total();
    let rows = || report.namespaces.iter().chain(Some(&total).filter(|_| report.namespaces.len() > 1));
    let first = rows().map(|row| row.namespace.len()).max().unwrap_or(0).max("Namespace".len());
    let line = |name: &str, cells: &[String]| {
        let cells = cells.iter().zip(COLUMNS).map(|(cell, column)| format!("  {cell:>width$}", width = column.len()));
        format!("{name:<first$}{}\n", cells.collect::<String>())
    };
    let mut out = line("Namespace", &COLUMNS.map(str::to_owned));
    for row in rows() {
        out.push_str(&line(&row.namespace, &cells(row)));
    }
    out
}

/// The figures of a row, in the order of the columns.
pub(super) fn cells(row: &Row) -> [String; 8] {
    let counts = row.annotations;
    [
        row.ingresses,
        counts.honoured,
        counts.approximated,
        counts.inert,
        counts.refused,
        counts.unknown,
        row.errors,
        row.warnings,
    ]
    .map(|number| number.to_string())
}

/// How many findings there are of each severity.
pub(super) fn counted(report: &Report) -> String {
    let counted = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let Report { errors, warnings, infos, .. } = report;
    match (errors, warnings, infos) {
        (0, 0, 0) => "nothing wrong".to_owned(),
        _ => [counted(*errors, "error"), counted(*warnings, "warning"), counted(*infos, "info")].join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        assert_eq!(counted(&Report::default()), "nothing wrong");
        assert_eq!(counted(&Report { errors: 1, warnings: 2, ..Report::default() }), "1 error, 2 warnings, 0 infos");
    }

    #[test]
    fn columns_stand_under_their_titles() {
        let row = |name: &str| Row { namespace: name.to_owned(), ingresses: 12, ..Row::default() };
        let report = Report { namespaces: vec![row("a"), row("a-long-namespace")], ..Report::default() };
        let table = table(&report);
        let ends: Vec<_> = table.lines().map(str::len).collect();
        assert_eq!(ends, vec![ends[0]; 4]);
        assert!(table.ends_with("0\n") && table.contains("\ntotal "));
    }
}
