//! Documents in YAML as Kubernetes reads them: YAML 1.1's words and numbers, as objects of JSON.
//!
//! Unquoted `yes`, `on`, `y` and their opposites are booleans, `0644` is 420; quoted they are texts. Keys become texts.
//! Never here: files, what the documents mean. Input may be hostile: depth, and what aliases multiply, are bounded.
//! Source: YAML 1.1, "Tag repository"; sigs.k8s.io/yaml, which kubectl reads with.

mod scalar;

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

/// Deepest nesting, as in JSON.
const DEPTH_MAX: usize = 128;
/// Most values that a text can come to by aliases: some times what fits into the largest body.
const VALUES_MAX: usize = 1 << 20;
/// The key whose mapping is merged into the one that it stands in.
const MERGE: &str = "<<";

/// The text is not YAML, or not what objects of JSON can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line} column {column}")]
pub struct YamlError {
    /// What is wrong.
    pub message: String,
    /// Where: counts from 1.
    pub line: usize,
    /// Where in the line: counts from 1.
    pub column: usize,
}

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says; an empty one is null.
    pub value: Value,
    /// Keys that stand twice in a mapping, in the order in which they were found; the last one counts.
    pub duplicates: Vec<String>,
}

/// All documents in a text, in order.
///
/// # Errors
/// At the first fault, whatever was read before.
pub fn documents(text: &str) -> Result<Vec<Document>, YamlError> {
    let mut reader = Reader::new(text);
    let mut documents = Vec::new();
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(..) => {
                reader.anchors.clear();
                let value = match reader.next()? {
                    (Event::DocumentEnd, _) => Value::Null,
                    node => {
                        let value = reader.value(node, 0)?;
                        match reader.next()? {
                            (Event::DocumentEnd, _) => value,
                            (_, span) => return Err(fault(&span, "a document has one value")),
                        }
                    }
                };
                let duplicates = std::mem::take(&mut reader.duplicates);
                documents.push(Document { value, duplicates });
            }
            Event::StreamStart => {}
            _ => return Err(fault(&span, "a value outside of a document")),
        }
    }
}

/// The only document of a text; null if it has none.
///
/// # Errors
/// When the text is not YAML, or has several documents.
pub fn document(text: &str) -> Result<Document, YamlError> {
    let mut all = documents(text)?;
    if all.len() > 1 {
        return Err(YamlError {
            message: "more than one document".to_owned(),
            line: 1,
            column: 1,
        });
    }
    Ok(all.pop().unwrap_or(Document {
        value: Value::Null,
        duplicates: Vec::new(),
    }))
}

fn fault(span: &Span, message: impl Into<String>) -> YamlError {
    YamlError {
        message: message.into(),
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

fn scan_fault(error: &ScanError) -> YamlError {
    YamlError {
        message: error.info(),
        line: error.marker().line(),
        column: error.marker().col() + 1,
    }
}

type Node<'t> = (Event<'t>, Span);

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Values with an anchor, and how many values each is.
    anchors: HashMap<usize, (Value, usize)>,
    values: usize,
    duplicates: Vec<String>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Reader<'t> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        Reader {
            parser: Parser::new_from_str_with_options(text, options),
            anchors: HashMap::new(),
            values: 0,
            duplicates: Vec::new(),
        }
    }

    fn next(&mut self) -> Result<Node<'t>, YamlError> {
        match self.parser.next_event() {
            Some(Ok(node)) => Ok(node),
            Some(Err(error)) => Err(scan_fault(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn count(&mut self, more: usize, span: &Span) -> Result<(), YamlError> {
        self.values = self.values.saturating_add(more);
        if self.values > VALUES_MAX {
            return Err(fault(span, "document contains excessive aliasing"));
        }
        Ok(())
    }

    fn value(&mut self, (event, span): Node<'t>, depth: usize) -> Result<Value, YamlError> {
        if depth > DEPTH_MAX {
            return Err(fault(&span, "nested too deeply"));
        }
        let before = self.values;
        self.count(1, &span)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref(), &span)?, anchor),
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        node => items.push(self.value(node, depth + 1)?),
                    }
                }
                (Value::Array(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (Value::Object(self.mapping(depth)?), anchor),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let (value, count) = known.ok_or_else(|| fault(&span, "an alias within what it names"))?;
                self.count(count, &span)?;
                return Ok(value);
            }
            _ => return Err(fault(&span, "a value is missing")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), self.values - before));
        }
        Ok(value)
    }

    fn mapping(&mut self, depth: usize) -> Result<Map<String, Value>, YamlError> {
        let mut fields = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == MERGE);
            let key = self.value((event, span), depth + 1)?;
            let node = self.next()?;
            let value = self.value(node, depth + 1)?;
            if merges {
                merged.push((value, span));
                continue;
            }
            let key = key_text(key).ok_or_else(|| fault(&span, "a key must be a text, a number or a boolean"))?;
            if fields.insert(key.clone(), value).is_some() {
                self.duplicates.push(format!("key {key:?} already set in map"));
            }
        }
        for (value, span) in merged {
            // Of several, the first one that has a field counts; what the mapping itself has counts more.
            let sources = match value {
                Value::Array(sources) => sources,
                one => vec![one],
            };
            for source in sources {
                let Value::Object(source) = source else {
                    return Err(fault(&span, "map merge requires map or sequence of maps as the value"));
                };
                for (key, value) in source {
                    fields.entry(key).or_insert(value);
                }
            }
        }
        Ok(fields)
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Result<Value, YamlError> {
    let kind = tag.and_then(|tag| tag.core_suffix());
    let is_text = match (kind, tag) {
        (Some("str"), _) => true,
        // The tag that says: not what it looks like.
        (None, Some(tag)) => tag.suffix_in_namespace("tag:yaml.org,2002:").is_none() && tag.suffix() == "!",
        (Some(_), Some(_)) => false,
        (_, None) => style != ScalarStyle::Plain,
    };
    if is_text {
        return Ok(Value::String(text.to_owned()));
    }
    scalar::resolve(text).ok_or_else(|| fault(span, format!("{text} is no number that JSON has")))
}

/// A key as JSON has it.
fn key_text(key: Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
