//! The findings as SARIF 2.1.0 (OASIS), which code review tools show at the lines of files.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::findings::Finding;
use super::report::Report;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The log: one run with a rule for each reason that occurs.
pub(super) fn log(report: &Report) -> Value {
    let reasons: BTreeSet<&str> = report.findings.iter().map(|finding| finding.reason).collect();
    let reasons: Vec<&str> = reasons.into_iter().collect();
    let rules: Vec<Value> = reasons
        .iter()
        .map(|reason| json!({"id": reason, "name": reason, "shortDescription": {"text": words(reason)}}))
        .collect();
    let results: Vec<Value> = report.findings.iter().map(|finding| result(finding, &reasons)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "ingora", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Finding, reasons: &[&str]) -> Value {
    let text = match finding.field.as_str() {
        "" => finding.message.clone(),
        field => format!("{field}: {}", finding.message),
    };
    let level = match finding.severity {
        "info" => "note",
        other => other,
    };
    json!({
        "ruleId": finding.reason,
        "ruleIndex": reasons.iter().position(|reason| *reason == finding.reason),
        "level": level,
        "message": {"text": text},
        "locations": [location(finding)],
    })
}

/// The line of the file, and the object's name, which is all that a cluster has.
fn location(finding: &Finding) -> Value {
    let mut location = serde_json::Map::new();
    if let Some((file, line)) = finding.file.as_ref().zip(finding.line) {
        let physical = json!({"artifactLocation": {"uri": uri(file)}, "region": {"startLine": line}});
        location.insert("physicalLocation".to_owned(), physical);
    }
    if let Some(object) = &finding.reference {
        let name = [&*object.kind.to_string(), &object.namespace, &object.name].map(str::to_owned);
        let parts: Vec<String> = name.into_iter().filter(|part| !part.is_empty()).collect();
        let logical = json!([{"name": &*object.name, "fullyQualifiedName": parts.join("/"), "kind": "resource"}]);
        location.insert("logicalLocations".to_owned(), logical);
    }
    Value::Object(location)
}

/// A path as a URI reference (RFC 3986): other bytes than those of a path are escaped. A first segment with a colon would
/// be a scheme.
fn uri(file: &str) -> String {
    let mut out = String::new();
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `PathNeverReached` as words.
fn words(reason: &str) -> String {
    let mut out = String::new();
    for (index, char) in reason.char_indices() {
        if char.is_ascii_uppercase() && index > 0 {
            out.push(' ');
            out.push(char.to_ascii_lowercase());
        } else {
            out.push(char);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::report;
    use super::*;

    /// What the schema of SARIF 2.1.0 requires of the properties that are used here.
    #[test]
    fn the_log_has_what_its_schema_requires() {
        let report = report();
        let log = log(&report);
        assert_eq!(log["version"], "2.1.0");
        let runs = log["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 1);
        let driver = &runs[0]["tool"]["driver"];
        assert!(driver["name"].is_string() && driver["version"].is_string());
        let rules = driver["rules"].as_array().unwrap();
        let ids: BTreeSet<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), rules.len(), "ids are unique");
        assert!(rules.iter().all(|rule| rule["shortDescription"]["text"].is_string()));
        let results = runs[0]["results"].as_array().unwrap();
        assert_eq!(results.len(), report.findings.len());
        for result in results {
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            for location in result["locations"].as_array().unwrap() {
                let physical = &location["physicalLocation"];
                assert!(physical["artifactLocation"]["uri"].is_string());
                assert!(physical["region"]["startLine"].as_u64().unwrap() >= 1);
            }
        }
    }

    #[test]
    fn an_object_of_a_cluster_is_a_logical_location() {
        let mut finding = report().findings.into_iter().find(|finding| finding.reference.is_some()).unwrap();
        finding.file = None;
        let location = location(&finding);
        assert!(location.get("physicalLocation").is_none());
        let name = location["logicalLocations"][0]["fullyQualifiedName"].as_str().unwrap();
        assert_eq!(name.split('/').count(), 3, "{name}");
    }

    #[test]
    fn a_path_is_a_uri_reference() {
        assert_eq!(uri("a b/ä:c.yaml"), "a%20b/%C3%A4%3Ac.yaml");
        assert_eq!(uri("/srv/x-1_2.yaml"), "/srv/x-1_2.yaml");
    }

    #[test]
    fn a_reason_is_read_as_words() {
        assert_eq!(words("PathNeverReached"), "Path never reached");
    }
}
