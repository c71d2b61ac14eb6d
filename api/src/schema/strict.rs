//! Parsing JSON so that duplicate fields are noticed and depth is bounded.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// Deepest nesting that is accepted: far beyond any real object, and recursion over it stays within a small stack.
pub(crate) const DEPTH_MAX: usize = 100;
/// Most duplicates that are reported: enough to mend a file, and it bounds the answer.
const DUPLICATES_MAX: usize = 100;

/// A JSON document and what was odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The document; of duplicate fields the last one counts.
    pub value: Value,
    /// `duplicate field "spec.replicas"`, at most a hundred, each once.
    pub duplicates: Vec<String>,
}

/// The bytes are not JSON.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(#[from] serde_json::Error);

/// Parses a JSON document, noting duplicate fields.
///
/// # Errors
/// When the bytes are no JSON, or nest deeper than a hundred levels.
pub fn parse_strict(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let mut notes = Notes {
        path: String::new(),
        depth: 0,
        duplicates: Vec::new(),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Node(&mut notes).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Parsed {
        value,
        duplicates: notes.duplicates,
    })
}

struct Notes {
    path: String,
    depth: usize,
    duplicates: Vec<String>,
}

/// Builds the value at `Notes::path`.
struct Node<'a>(&'a mut Notes);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0.depth >= DEPTH_MAX {
            return Err(D::Error::custom("exceeded max depth"));
        }
        self.0.depth += 1;
        let value = deserializer.deserialize_any(Node(self.0))?;
        self.0.depth -= 1;
        Ok(value)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let length = self.0.path.len();
        loop {
            self.0.path.push_str(&format!("[{}]", items.len()));
            let item = seq.next_element_seed(Node(self.0))?;
            self.0.path.truncate(length);
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        let length = self.0.path.len();
        while let Some(name) = map.next_key::<String>()? {
            if length > 0 {
                self.0.path.push('.');
            }
            self.0.path.push_str(&name);
            if fields.contains_key(&name) && self.0.duplicates.len() < DUPLICATES_MAX {
                let note = format!("duplicate field {:?}", self.0.path);
                if !self.0.duplicates.contains(&note) {
                    self.0.duplicates.push(note);
                }
            }
            let value = map.next_value_seed(Node(self.0))?;
            self.0.path.truncate(length);
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}
