//! Label selectors: `app=web,tier in (a,b),!old`, and `matchLabels`/`matchExpressions`.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde_json::{Map, Value};

use super::SELECTOR_BYTES_MAX;
use crate::validation::names;

/// Requirements that must all hold. Without any, everything matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The condition.
    pub operator: Operator,
}

/// What must hold for a label's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// The label is there with one of these values (sorted).
    In(Vec<String>),
    /// The label is absent, or has none of these values (sorted).
    NotIn(Vec<String>),
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
    /// The label is there, a whole number and greater.
    GreaterThan(i64),
    /// The label is there, a whole number and less.
    LessThan(i64),
}

/// The text is not a label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseLabelSelectorError {
    /// Longer than [`SELECTOR_BYTES_MAX`].
    #[error("label selector of {bytes} bytes is longer than {SELECTOR_BYTES_MAX}")]
    TooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// Something else stands where a key, an operator or a value is due.
    #[error("unable to parse requirement: found '{found}', expected: {expected}")]
    Unexpected {
        /// What stands there; empty at the end.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A key or value that no label can have.
    #[error("{0}")]
    Invalid(String),
    /// An operator in an object's selector that does not exist, or has the wrong number of values.
    #[error("{operator:?} is not a valid label selector operator for {values} values")]
    Operator {
        /// The operator's name.
        operator: String,
        /// Number of values with it.
        values: usize,
    },
}

impl LabelSelector {
    /// Matches everything.
    #[must_use]
    pub fn everything() -> LabelSelector {
        LabelSelector::default()
    }

    /// Matches nothing: what an absent selector means in most objects.
    #[must_use]
    pub fn nothing() -> LabelSelector {
        LabelSelector {
            requirements: Vec::new(),
            nothing: true,
        }
    }

    /// Parses the text form.
    ///
    /// # Errors
    /// When the text is no selector; the caller answers "bad request" with the error's text.
    pub fn parse(text: &str) -> Result<LabelSelector, ParseLabelSelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(ParseLabelSelectorError::TooLong { bytes: text.len() });
        }
        let mut tokens = Tokens { rest: text };
        let mut requirements = Vec::new();
        if tokens.peek() != "" {
            loop {
                requirements.push(requirement(&mut tokens)?);
                match tokens.next() {
                    "" => break,
                    "," => {}
                    found => return Err(unexpected(found, "',' or 'end of string'")),
                }
            }
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector {
            requirements,
            nothing: false,
        })
    }

    /// The selector that asks for exactly these labels.
    #[must_use]
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> LabelSelector {
        LabelSelector {
            requirements: labels
                .into_iter()
                .map(|(key, value)| Requirement {
                    key: key.clone(),
                    operator: Operator::In(vec![value.clone()]),
                })
                .collect(),
            nothing: false,
        }
    }

    /// The selector of an object's field (`matchLabels`, `matchExpressions`); an empty one matches everything.
    ///
    /// # Errors
    /// When an expression's operator is unknown or has the wrong number of values; validation refuses such objects.
    pub fn from_object(selector: &meta::LabelSelector) -> Result<LabelSelector, ParseLabelSelectorError> {
        let mut requirements: Vec<Requirement> = selector
            .match_labels
            .iter()
            .flatten()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::In(vec![value.clone()]),
            })
            .collect();
        for expression in selector.match_expressions.iter().flatten() {
            requirements.push(from_expression(
                &expression.key,
                &expression.operator,
                expression.values.clone().unwrap_or_default(),
            )?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector {
            requirements,
            nothing: false,
        })
    }

    /// As [`LabelSelector::from_object`], from raw JSON; anything but an object matches nothing.
    ///
    /// # Errors
    /// As [`LabelSelector::from_object`].
    pub fn from_value(selector: &Value) -> Result<LabelSelector, ParseLabelSelectorError> {
        match serde_json::from_value::<meta::LabelSelector>(selector.clone()) {
            Ok(selector) => LabelSelector::from_object(&selector),
            Err(_) => Ok(LabelSelector::nothing()),
        }
    }

    /// The conditions, sorted by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether everything matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether an object with these labels matches.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_by(|key| labels.get(key).map(String::as_str))
    }

    /// Whether an object with these `metadata.labels` matches; `None` is an object without labels.
    #[must_use]
    pub fn matches_map(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.matches_by(|key| labels?.get(key)?.as_str())
    }

    /// Whether this object, as JSON, matches by its `metadata.labels`.
    #[must_use]
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.matches_map(labels.as_object())
    }

    fn matches_by<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing
            && self
                .requirements
                .iter()
                .all(|requirement| requirement.operator.holds(label(&requirement.key)))
    }
}

impl Operator {
    fn holds(&self, label: Option<&str>) -> bool {
        match (self, label) {
            (Operator::In(values), Some(label)) => values.iter().any(|value| value == label),
            (Operator::NotIn(values), Some(label)) => values.iter().all(|value| value != label),
            (Operator::Exists, Some(_)) | (Operator::NotIn(_) | Operator::DoesNotExist, None) => true,
            (Operator::GreaterThan(bound), Some(label)) => label.parse::<i64>().is_ok_and(|value| value > *bound),
            (Operator::LessThan(bound), Some(label)) => label.parse::<i64>().is_ok_and(|value| value < *bound),
            (Operator::DoesNotExist, Some(_))
            | (Operator::In(_) | Operator::Exists | Operator::GreaterThan(_) | Operator::LessThan(_), None) => false,
        }
    }
}

impl fmt::Display for LabelSelector {
    /// The text form, as in the scale subresource's `status.selector`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0]),
            Operator::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0]),
            Operator::In(values) => write!(f, "{key} in ({})", values.join(",")),
            Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(",")),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan(bound) => write!(f, "{key}>{bound}"),
            Operator::LessThan(bound) => write!(f, "{key}<{bound}"),
        }
    }
}

fn from_expression(key: &str, operator: &str, mut values: Vec<String>) -> Result<Requirement, ParseLabelSelectorError> {
    values.sort();
    let operator = match (operator, values.len()) {
        ("In", 1..) => Operator::In(values),
        ("NotIn", 1..) => Operator::NotIn(values),
        ("Exists", 0) => Operator::Exists,
        ("DoesNotExist", 0) => Operator::DoesNotExist,
        (operator, values) => {
            return Err(ParseLabelSelectorError::Operator {
                operator: operator.to_owned(),
                values,
            });
        }
    };
    Ok(Requirement {
        key: key.to_owned(),
        operator,
    })
}

/// Splits the text into words and the symbols `! ( ) , = == != < >`.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// The next token without taking it; empty at the end.
    fn peek(&self) -> &'a str {
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        for symbol in ["==", "!=", "=", "!", "(", ")", ",", "<", ">"] {
            if rest.starts_with(symbol) {
                return &rest[..symbol.len()];
            }
        }
        let end = rest
            .find([' ', '\t', '\r', '\n', '=', '!', '(', ')', ',', '<', '>'])
            .unwrap_or(rest.len());
        &rest[..end]
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.rest = &self.rest.trim_start_matches([' ', '\t', '\r', '\n'])[token.len()..];
        token
    }
}

fn unexpected(found: &str, expected: &'static str) -> ParseLabelSelectorError {
    ParseLabelSelectorError::Unexpected {
        found: found.to_owned(),
        expected,
    }
}

fn is_word(token: &str) -> bool {
    !token.is_empty() && !token.starts_with(['=', '!', '(', ')', ',', '<', '>'])
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Requirement, ParseLabelSelectorError> {
    let negated = tokens.peek() == "!";
    if negated {
        tokens.next();
    }
    let key = tokens.next();
    if !is_word(key) {
        return Err(unexpected(key, "identifier"));
    }
    check(names::label_key(key), "key", key)?;
    let operator = match (negated, tokens.peek()) {
        (true, _) => Operator::DoesNotExist,
        (false, "" | ",") => Operator::Exists,
        (false, symbol @ ("=" | "==" | "!=")) => {
            tokens.next();
            let value = exact_value(tokens)?;
            check(names::label_value(value), "value", value)?;
            if symbol == "!=" {
                Operator::NotIn(vec![value.to_owned()])
            } else {
                Operator::In(vec![value.to_owned()])
            }
        }
        (false, symbol @ ("<" | ">")) => {
            tokens.next();
            let value = exact_value(tokens)?;
            let bound = value.parse().map_err(|_| {
                ParseLabelSelectorError::Invalid(format!(
                    "values[0][{key}]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                ))
            })?;
            if symbol == "<" {
                Operator::LessThan(bound)
            } else {
                Operator::GreaterThan(bound)
            }
        }
        (false, word @ ("in" | "notin")) => {
            tokens.next();
            let values = value_set(tokens)?;
            if word == "in" {
                Operator::In(values)
            } else {
                Operator::NotIn(values)
            }
        }
        (false, found) => return Err(unexpected(found, "in, notin, =, ==, !=, gt, lt")),
    };
    Ok(Requirement {
        key: key.to_owned(),
        operator,
    })
}

fn exact_value<'a>(tokens: &mut Tokens<'a>) -> Result<&'a str, ParseLabelSelectorError> {
    match tokens.peek() {
        "" | "," => Ok(""),
        token if is_word(token) => Ok(tokens.next()),
        found => Err(unexpected(found, "identifier")),
    }
}

/// `(a,b,,c)`: an empty place is the empty value.
fn value_set(tokens: &mut Tokens<'_>) -> Result<Vec<String>, ParseLabelSelectorError> {
    match tokens.next() {
        "(" => {}
        found => return Err(unexpected(found, "'('")),
    }
    let mut values = Vec::new();
    loop {
        let value = match tokens.peek() {
            token if is_word(token) => tokens.next(),
            "," | ")" => "",
            found => return Err(unexpected(found, "',', ')' or identifier")),
        };
        check(names::label_value(value), "value", value)?;
        values.push(value.to_owned());
        match tokens.next() {
            "," => {}
            ")" => break,
            found => return Err(unexpected(found, "',' or ')'")),
        }
    }
    values.sort();
    values.dedup();
    Ok(values)
}

fn check(result: Result<(), String>, what: &str, text: &str) -> Result<(), ParseLabelSelectorError> {
    result.map_err(|reason| {
        ParseLabelSelectorError::Invalid(format!(
            "unable to parse requirement: {what}: Invalid value: {text:?}: {reason}"
        ))
    })
}
