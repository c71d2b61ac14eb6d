//! The query parameters of the API, parsed once.
//!
//! Source: Kubernetes API reference, "Common Parameters".

use std::time::Duration;

use api::{
    resource::Resource,
    selector::{FieldSelector, LabelSelector},
    validation::FieldError,
};
use axum::extract::Query as AxumQuery;
use http::Uri;

use crate::engine::{
    ApiError, DeleteOptions, FieldValidation, ListOptions, ListVersion, Propagation, Target, WriteOptions,
};

/// Parameters by name; the first of a name counts, as in Kubernetes.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters of a URI.
    ///
    /// # Errors
    /// When they are not form-encoded.
    pub(super) fn parse(uri: &Uri) -> Result<Query, ApiError> {
        AxumQuery::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|AxumQuery(list)| Query(list))
            .map_err(|error| ApiError::BadRequest(format!("the query is malformed: {error}")))
    }

    /// The parameter; empty if it is missing.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// All values of the parameter, in order.
    #[must_use]
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| value.clone()).collect()
    }

    /// True if the parameter is there, with whatever value.
    #[must_use]
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// A boolean: missing or `false`, `0` is false, anything else true, as in Kubernetes.
    #[must_use]
    pub(super) fn flag(&self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name).to_ascii_lowercase().as_str(), "false" | "0")
    }

    /// An integer.
    ///
    /// # Errors
    /// When it is there and none.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            "" => Ok(None),
            text => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ApiError::BadRequest(format!(
                    "invalid value for {name}: {text:?} is not an integer"
                ))),
            },
        }
    }

    fn dry_run(&self) -> Result<bool, ApiError> {
        match self.get("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => Err(ApiError::BadRequest(format!(
                "invalid value for dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }

    /// How a write is to be done. Unknown fields are told of unless the client says otherwise.
    ///
    /// # Errors
    /// When a parameter has a value that is not known.
    pub(super) fn write_options(&self) -> Result<WriteOptions, ApiError> {
        let field_validation = match self.get("fieldValidation") {
            "Ignore" => FieldValidation::Ignore,
            "" | "Warn" => FieldValidation::Warn,
            "Strict" => FieldValidation::Strict,
            other => {
                return Err(ApiError::BadRequest(format!(
                    "invalid value for fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \
                     \"Strict\", \"Warn\""
                )));
            }
        };
        let manager = self.get("fieldManager");
        let faults = manager_faults(manager);
        if !faults.is_empty() {
            return Err(invalid_options(faults));
        }
        Ok(WriteOptions {
            dry_run: self.dry_run()?,
            field_validation,
            manager: manager.to_owned(),
            ..WriteOptions::default()
        })
    }

    /// Whether the parameters go with the kind of patch.
    ///
    /// # Errors
    /// When an apply does not say who applies, or another patch is to be forced.
    pub(super) fn check_patch_options(&self, is_apply: bool) -> Result<(), ApiError> {
        if is_apply && self.get("fieldManager").is_empty() {
            let detail = "is required for apply patch";
            return Err(invalid_options(vec![FieldError::required("fieldManager", detail)]));
        }
        if !is_apply && self.has("force") {
            let detail = "may not be specified for non-apply patch";
            return Err(invalid_options(vec![FieldError::forbidden("force", detail)]));
        }
        Ok(())
    }

    /// How a deletion is to be done, by the query alone; a body may say more.
    ///
    /// # Errors
    /// When a parameter has a value that is not known.
    pub(super) fn delete_options(&self) -> Result<DeleteOptions, ApiError> {
        let propagation = match self.get("propagationPolicy") {
            "" if self.has("orphanDependents") => Some(if self.flag("orphanDependents") {
                Propagation::Orphan
            } else {
                Propagation::Background
            }),
            text => propagation(text)?,
        };
        Ok(DeleteOptions {
            grace_period_s: self.integer("gracePeriodSeconds")?,
            propagation,
            dry_run: self.dry_run()?,
            ..DeleteOptions::default()
        })
    }

    /// The selectors of a list, a watch or a deletion, on the stored form.
    ///
    /// # Errors
    /// When one cannot be parsed, or names a field that the kind does not select by.
    pub(super) fn selectors(&self, resource: &Resource) -> Result<(LabelSelector, FieldSelector), ApiError> {
        let labels =
            LabelSelector::parse(self.get("labelSelector")).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let fields =
            FieldSelector::parse(self.get("fieldSelector")).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        fields
            .check(resource)
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        Ok((labels, fields.on_stored(resource)))
    }

    /// What to list.
    ///
    /// # Errors
    /// When a parameter has a value that is not known, or they do not go together.
    pub(super) fn list_options(&self, resource: &Resource, namespace: &str) -> Result<ListOptions, ApiError> {
        let (labels, fields) = self.selectors(resource)?;
        let limit = self.integer("limit")?.unwrap_or(0);
        let limit = usize::try_from(limit)
            .map_err(|_| ApiError::BadRequest("limit must be greater than or equal to 0".to_owned()))?;
        let continue_token = self.get("continue").to_owned();
        let version = self.list_version(limit > 0, !continue_token.is_empty())?;
        Ok(ListOptions {
            namespace: namespace.to_owned(),
            labels,
            fields,
            limit,
            continue_token,
            version,
        })
    }

    fn list_version(&self, limited: bool, continued: bool) -> Result<ListVersion, ApiError> {
        let version = self.get("resourceVersion");
        let matching = self.get("resourceVersionMatch");
        let refuse = |detail: &str| {
            Err(ApiError::BadRequest(format!(
                "resourceVersionMatch: Forbidden: {detail}"
            )))
        };
        if continued {
            if !version.is_empty() && version != "0" {
                return Err(ApiError::BadRequest(
                    "specifying resource version is not allowed when using continue".to_owned(),
                ));
            }
            if !matching.is_empty() {
                return refuse("resourceVersionMatch is forbidden when continue is provided");
            }
            return Ok(ListVersion::Newest);
        }
        if version.is_empty() {
            if !matching.is_empty() {
                return refuse("resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            return Ok(ListVersion::Newest);
        }
        let revision = parse_revision(version)?;
        match (matching, revision) {
            ("Exact", 0) => refuse("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""),
            ("Exact", revision) => Ok(ListVersion::Exact(revision)),
            ("" | "NotOlderThan", 0) => Ok(ListVersion::Newest),
            ("NotOlderThan", revision) => Ok(ListVersion::NotOlderThan(revision)),
            ("", revision) if limited => Ok(ListVersion::Exact(revision)),
            ("", revision) => Ok(ListVersion::NotOlderThan(revision)),
            (other, _) => Err(ApiError::BadRequest(format!(
                "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""
            ))),
        }
    }

    /// How long the request may take: what the client says, but at most `max`.
    ///
    /// # Errors
    /// When `timeout` is no duration.
    pub(super) fn request_timeout(&self, max: Duration) -> Result<Duration, ApiError> {
        let text = self.get("timeout");
        if text.is_empty() {
            return Ok(max);
        }
        let wanted = duration(text).ok_or_else(|| {
            ApiError::BadRequest(format!(
                "invalid timeout specified in the request URL - time: invalid duration {text:?}"
            ))
        })?;
        Ok(if wanted.is_zero() { max } else { wanted.min(max) })
    }

    /// How long a watch may last at most.
    ///
    /// # Errors
    /// When the parameter is not a number.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        let seconds = self.integer("timeoutSeconds")?;
        Ok(seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs))
    }
}

/// Most bytes of a manager's name, as in Kubernetes.
const MANAGER_BYTES_MAX: usize = 128;

fn manager_faults(manager: &str) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if manager.len() > MANAGER_BYTES_MAX {
        faults.push(FieldError::too_long("fieldManager", MANAGER_BYTES_MAX));
    }
    for (position, letter) in manager.char_indices().filter(|(_, letter)| letter.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {position})", u32::from(letter));
        faults.push(FieldError::invalid("fieldManager", manager, detail));
    }
    faults
}

fn invalid_options(causes: Vec<FieldError>) -> ApiError {
    let target = Target {
        group: "meta.k8s.io",
        resource: "",
        kind: "PatchOptions",
        name: String::new(),
    };
    ApiError::Invalid { target, causes }
}

/// The manager's name that a client has if it gives none: the first part of its user agent, as far as it is printable.
#[must_use]
pub(super) fn manager_of_agent(user_agent: &str) -> String {
    let program = user_agent.split('/').next().unwrap_or_default();
    let mut name = String::new();
    for letter in program.chars().filter(|letter| !letter.is_control()) {
        if name.len() + letter.len_utf8() > MANAGER_BYTES_MAX {
            break;
        }
        name.push(letter);
    }
    name
}

/// A duration as Go writes it: `1m30s`, `1.5h`, `300ms`; `None` if it is none, or negative.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(digits);
        let length = tail.find(|letter: char| letter.is_ascii_digit() || letter == '.');
        let (unit, tail) = tail.split_at(length.unwrap_or(tail.len()));
        let unit_seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit_seconds;
        rest = tail;
    }
    (!text.is_empty())
        .then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

/// A resourceVersion from a client.
///
/// # Errors
/// When it is not a number.
pub(super) fn parse_revision(text: &str) -> Result<u64, ApiError> {
    text.parse()
        .map_err(|_| ApiError::BadRequest(format!("invalid resource version {text:?}: it must be a number")))
}

/// A propagation policy from a client; `None` if it is empty.
///
/// # Errors
/// When it is not known.
pub(super) fn propagation(text: &str) -> Result<Option<Propagation>, ApiError> {
    match text {
        "" => Ok(None),
        "Background" => Ok(Some(Propagation::Background)),
        "Foreground" => Ok(Some(Propagation::Foreground)),
        "Orphan" => Ok(Some(Propagation::Orphan)),
        other => Err(ApiError::BadRequest(format!(
            "invalid value for propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \
             \"Foreground\", \"Orphan\""
        ))),
    }
}
