//! `admission.k8s.io/v1` AdmissionReview: as much of it as is read and answered.
use k8s_openapi::api::networking::v1::Ingress;
use serde::Deserialize;
use serde_json::{Value, json};
use translate::{Kind, ObjectRef};

use super::judge::Verdict;

/// Longest warning that API servers pass on, in bytes.
const LONGEST: usize = 256;

/// A review that is asked for.
#[derive(Debug, Deserialize)]
struct Review {
    #[serde(rename = "apiVersion")]
    api_version: String,
    request: Request,
}

#[derive(Debug, Deserialize)]
struct Request {
    uid: String,
    kind: GroupKind,
    operation: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    object: Value,
}

#[derive(Debug, Deserialize)]
struct GroupKind {
    #[serde(default)]
    group: String,
    kind: String,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question {
    /// Names the question in the answer.
    pub(crate) uid: String,
    /// The Ingress as it would be, or `None` when it would go. Nothing at all for what is not judged.
    pub(crate) change: Option<(ObjectRef, Option<Ingress>)>,
}

/// Reads a question.
///
/// # Errors
/// When it is none, or of a version that is not spoken.
pub(crate) fn read(body: &[u8]) -> Result<Question, String> {
    let review: Review =
        serde_json::from_slice(body).map_err(|error| format!("this is no AdmissionReview: {error}"))?;
    if review.api_version != "admission.k8s.io/v1" {
        return Err("only admission.k8s.io/v1 is spoken; set admissionReviewVersions to v1".to_owned());
    }
    let Request { uid, kind, operation, namespace, name, object } = review.request;
    if (kind.group.as_str(), kind.kind.as_str()) != ("networking.k8s.io", "Ingress") {
        return Ok(Question { uid, change: None });
    }
    let change = match operation.as_str() {
        "CREATE" | "UPDATE" => {
            let mut ingress: Ingress =
                serde_json::from_value(object).map_err(|error| format!("the Ingress cannot be read: {error}"))?;
            ingress.status = None;
            ingress.metadata.namespace.get_or_insert_with(|| namespace.clone());
            // With generateName there is no name yet.
            let name = ingress.metadata.name.get_or_insert_with(|| name.clone()).clone();
            Some((reference(&namespace, &name), Some(ingress)))
        }
        "DELETE" => Some((reference(&namespace, &name), None)),
        _ => None,
    };
    Ok(Question { uid, change })
}

fn reference(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::Ingress, namespace: namespace.into(), name: name.into() }
}

/// The answer to a question.
pub(crate) fn answer(uid: &str, verdict: &Verdict) -> Value {
    let warnings: Vec<_> = verdict.warnings.iter().map(|warning| shortened(warning)).collect();
    let response = if verdict.errors.is_empty() {
        json!({"uid": uid, "allowed": true, "warnings": warnings})
    } else {
        let status = json!({"code": 422, "reason": "Invalid", "message": verdict.errors.join("; ")});
        json!({"uid": uid, "allowed": false, "warnings": warnings, "status": status})
    };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(kind: &str, operation: &str) -> Vec<u8> {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"group": "networking.k8s.io", "version": "v1", "kind": kind}, "operation": operation,
            "namespace": "ns", "name": "a", "object": {"metadata": {"name": "a"}, "spec": {}},
        }})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn only_ingresses_are_judged() {
        let change = |kind, operation| read(&review(kind, operation)).unwrap().change;
        assert_eq!(change("Ingress", "CREATE").unwrap().0, reference("ns", "a"));
        assert!(change("Ingress", "DELETE").unwrap().1.is_none());
        assert!(change("IngressClass", "CREATE").is_none() && change("Ingress", "CONNECT").is_none());
    }

    #[test]
    fn what_is_no_review_is_told() {
        assert!(read(b"{}").unwrap_err().starts_with("this is no AdmissionReview"));
        let old = String::from_utf8(review("Ingress", "CREATE"))
            .unwrap()
            .replace("k8s.io/v1\",\"kind\":\"Ad", "k8s.io/v1beta1\",\"kind\":\"Ad");
        assert!(read(old.as_bytes()).unwrap_err().starts_with("only admission.k8s.io/v1"), "{old}");
    }

    #[test]
    fn an_answer_names_question_reasons_and_warnings() {
        let verdict = Verdict { errors: vec!["x".to_owned(), "y".to_owned()], warnings: vec!["w".repeat(300)] };
        let answer = answer("u", &verdict);
        let response = &answer["response"];
        assert_eq!((&response["uid"], &response["allowed"]), (&json!("u"), &json!(false)));
        assert_eq!(response["status"]["message"], "x; y");
        assert_eq!(response["warnings"][0].as_str().unwrap().len(), LONGEST);
    }
}
