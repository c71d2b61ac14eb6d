//! What a server says when it refuses, in kubectl's words.

use std::fmt;

use serde_json::Value;

/// A Status of the API, or what stands in for one when a proxy answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) message: String,
    kind: String,
    name: String,
    causes: Vec<String>,
}

impl Status {
    /// Reads the body of an answer with this HTTP code.
    pub(crate) fn from_answer(code: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if value["kind"] == "Status" => Self::from_value(code, &value),
            Ok(_) | Err(_) => Self {
                code,
                reason: String::new(),
                message: String::from_utf8_lossy(body).trim().to_owned(),
                kind: String::new(),
                name: String::new(),
                causes: Vec::new(),
            },
        }
    }

    /// Reads a Status object; `code` is used if it has none.
    pub(crate) fn from_value(code: u16, value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let details = &value["details"];
        let causes = details["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let cause = |cause: &Value| {
            let (field, message) = (text(&cause["field"]), text(&cause["message"]));
            if field.is_empty() {
                message
            } else {
                format!("{field}: {message}")
            }
        };
        Self {
            code: value["code"]
                .as_u64()
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(code),
            reason: text(&value["reason"]),
            message: text(&value["message"]),
            kind: text(&details["kind"]),
            name: text(&details["name"]),
            causes: causes.iter().map(cause).collect(),
        }
    }
}

impl Status {
    /// Says what was being done with which file: `creating`, `web.yaml`. What is invalid names its fields instead.
    pub(crate) fn while_doing(mut self, doing: &str, source: &str) -> Self {
        self.message = format!("error when {doing} {source:?}: {}", self.message);
        self
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason == "Invalid" && !self.kind.is_empty() {
            write!(formatter, "The {} {:?} is invalid: ", self.kind, self.name)?;
            return match self.causes.as_slice() {
                [] => formatter.write_str(&self.message),
                [cause] => formatter.write_str(cause),
                causes => causes.iter().try_for_each(|cause| write!(formatter, "\n* {cause}")),
            };
        }
        let message = if self.message.is_empty() {
            format!("HTTP status {}", self.code)
        } else {
            self.message.clone()
        };
        if self.reason.is_empty() {
            write!(formatter, "Error from server: {message}")
        } else {
            write!(formatter, "Error from server ({}): {message}", self.reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_read_as_kubectl_prints_them() {
        let not_found = json!({"kind": "Status", "reason": "NotFound", "code": 404, "message": "pods \"x\" not found"});
        let invalid = json!({"kind": "Status", "reason": "Invalid", "code": 422, "message": "long", "details": {
            "kind": "Pod", "name": "x", "causes": [{"field": "spec.containers", "message": "Required value"}]}});
        let mut two = invalid.clone();
        two["details"]["causes"] = json!([{"field": "a", "message": "b"}, {"message": "c"}]);
        for (body, expected) in [
            (
                not_found.to_string(),
                "Error from server (NotFound): pods \"x\" not found",
            ),
            (
                invalid.to_string(),
                "The Pod \"x\" is invalid: spec.containers: Required value",
            ),
            (two.to_string(), "The Pod \"x\" is invalid: \n* a: b\n* c"),
            ("bad gateway\n".to_owned(), "Error from server: bad gateway"),
            (String::new(), "Error from server: HTTP status 502"),
        ] {
            assert_eq!(Status::from_answer(502, body.as_bytes()).to_string(), expected);
        }
    }
}
