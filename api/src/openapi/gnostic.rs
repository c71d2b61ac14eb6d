//! The older document as protobuf, which is the form that kubectl asks for it in.
//!
//! Source: the messages of openapi.v2 in gnostic's OpenAPIv2.proto; a field's number stands beside its name here.

use serde_json::{Map, Value};

/// An encoded message being put together.
#[derive(Default)]
struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }

    fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        self.varint(tag << 3 | BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, tag: u64, message: &Message) {
        self.bytes(tag, &message.0);
    }

    fn text(&mut self, tag: u64, value: Option<&Value>) {
        if let Some(text) = value.and_then(Value::as_str) {
            self.bytes(tag, text.as_bytes());
        }
    }

    fn texts(&mut self, tag: u64, value: Option<&Value>) {
        for text in value.and_then(Value::as_array).into_iter().flatten() {
            self.text(tag, Some(text));
        }
    }

    fn boolean(&mut self, tag: u64, value: Option<&Value>) {
        if value.and_then(Value::as_bool) == Some(true) {
            self.varint(tag << 3 | VARINT);
            self.varint(1);
        }
    }

    fn integer(&mut self, tag: u64, value: Option<&Value>) {
        if let Some(number) = value.and_then(Value::as_i64) {
            self.varint(tag << 3 | VARINT);
            self.varint(number.cast_unsigned());
        }
    }

    fn double(&mut self, tag: u64, value: Option<&Value>) {
        if let Some(number) = value.and_then(Value::as_f64) {
            self.varint(tag << 3 | FIXED64);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Any value, as YAML (JSON is that too).
    fn any(&mut self, tag: u64, value: Option<&Value>) {
        if let Some(value) = value {
            let mut any = Message::default();
            any.bytes(2, value.to_string().as_bytes());
            self.message(tag, &any);
        }
    }

    fn part(&mut self, tag: u64, value: Option<&Value>, encode: impl Fn(&Value) -> Message) {
        if let Some(value) = value {
            self.message(tag, &encode(value));
        }
    }

    /// An object as a list of names (1) and values (2).
    fn named(&mut self, tag: u64, fields: Option<&Value>, encode: impl Fn(&Value) -> Message) {
        for (name, value) in fields.and_then(Value::as_object).into_iter().flatten() {
            self.one_named(tag, name, &encode(value));
        }
    }

    fn one_named(&mut self, tag: u64, name: &str, value: &Message) {
        let mut pair = Message::default();
        pair.bytes(1, name.as_bytes());
        pair.message(2, value);
        self.message(tag, &pair);
    }

    fn extensions(&mut self, tag: u64, fields: &Value) {
        for (name, value) in fields.as_object().into_iter().flatten() {
            if name.starts_with("x-") {
                let mut any = Message::default();
                any.bytes(2, value.to_string().as_bytes());
                self.one_named(tag, name, &any);
            }
        }
    }
}

/// Wraps a message as the only field of another.
fn wrapped(tag: u64, inner: &Message) -> Message {
    let mut outer = Message::default();
    outer.message(tag, inner);
    outer
}

/// Encodes an OpenAPI v2 document of ours as `openapi.v2.Document`.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let field = |name: &str| document.get(name);
    let mut encoded = Message::default();
    encoded.text(1, field("swagger"));
    encoded.part(2, field("info"), |info| {
        let mut encoded = Message::default();
        encoded.text(1, info.get("title"));
        encoded.text(2, info.get("version"));
        encoded
    });
    let mut paths = Message::default();
    paths.named(2, field("paths"), path_item);
    encoded.message(8, &paths);
    let mut definitions = Message::default();
    definitions.named(1, field("definitions"), schema);
    encoded.message(9, &definitions);
    let mut security = Message::default();
    security.named(1, field("securityDefinitions"), |definition| {
        let mut key = Message::default();
        key.text(1, definition.get("type"));
        key.text(2, definition.get("name"));
        key.text(3, definition.get("in"));
        key.text(4, definition.get("description"));
        wrapped(2, &key)
    });
    encoded.message(13, &security);
    encoded.0
}

fn path_item(item: &Value) -> Message {
    let mut encoded = Message::default();
    for (tag, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        encoded.part(tag, item.get(method), operation);
    }
    for parameter in item["parameters"].as_array().into_iter().flatten() {
        encoded.message(9, &parameters_item(parameter));
    }
    encoded
}

fn operation(operation: &Value) -> Message {
    let field = |name: &str| operation.get(name);
    let mut encoded = Message::default();
    encoded.texts(1, field("tags"));
    encoded.text(3, field("description"));
    encoded.text(5, field("operationId"));
    encoded.texts(6, field("produces"));
    encoded.texts(7, field("consumes"));
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        encoded.message(8, &parameters_item(parameter));
    }
    encoded.part(9, field("responses"), |responses| {
        let mut encoded = Message::default();
        encoded.named(1, Some(responses), |response| {
            let mut encoded = Message::default();
            encoded.text(1, response.get("description"));
            encoded.part(2, response.get("schema"), |answer| wrapped(1, &schema(answer)));
            wrapped(1, &encoded)
        });
        encoded
    });
    encoded.texts(10, field("schemes"));
    encoded.extensions(13, operation);
    encoded
}

/// A parameter of the body, of the query or of the path; each has a message of its own.
fn parameters_item(parameter: &Value) -> Message {
    let field = |name: &str| parameter.get(name);
    let mut encoded = Message::default();
    let alternative = match parameter["in"].as_str() {
        Some("body") => {
            encoded.text(1, field("description"));
            encoded.text(2, field("name"));
            encoded.text(3, field("in"));
            encoded.boolean(4, field("required"));
            encoded.part(5, field("schema"), schema);
            wrapped(1, &encoded)
        }
        place => {
            encoded.boolean(1, field("required"));
            encoded.text(2, field("in"));
            encoded.text(3, field("description"));
            encoded.text(4, field("name"));
            // The query's message has one field more, in front of the type.
            let (message, shift) = if place == Some("path") { (4, 0) } else { (3, 1) };
            encoded.text(5 + shift, field("type"));
            encoded.boolean(19 + shift, field("uniqueItems"));
            wrapped(2, &wrapped(message, &encoded))
        }
    };
    wrapped(1, &alternative)
}

fn schema(schema: &Value) -> Message {
    let field = |name: &str| schema.get(name);
    let mut encoded = Message::default();
    for (tag, name) in [
        (1, "$ref"),
        (2, "format"),
        (3, "title"),
        (4, "description"),
        (13, "pattern"),
    ] {
        encoded.text(tag, field(name));
    }
    encoded.any(5, field("default"));
    for (tag, name) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        encoded.double(tag, field(name));
    }
    for (tag, name) in [(8, "exclusiveMaximum"), (10, "exclusiveMinimum"), (16, "uniqueItems")] {
        encoded.boolean(tag, field(name));
    }
    for (tag, name) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        encoded.integer(tag, field(name));
    }
    encoded.texts(19, field("required"));
    for value in schema["enum"].as_array().into_iter().flatten() {
        encoded.any(20, Some(value));
    }
    encoded.part(21, field("additionalProperties"), |additional| {
        if additional.is_object() {
            wrapped(1, &self::schema(additional))
        } else {
            let mut encoded = Message::default();
            encoded.boolean(2, Some(additional));
            encoded
        }
    });
    encoded.part(22, field("type"), |kind| {
        let mut encoded = Message::default();
        encoded.text(1, Some(kind));
        encoded.texts(1, Some(kind));
        encoded
    });
    encoded.part(23, field("items"), |items| wrapped(1, &self::schema(items)));
    encoded.part(
        25,
        field("properties").filter(|properties| is_filled(properties)),
        |properties| {
            let mut encoded = Message::default();
            encoded.named(1, Some(properties), self::schema);
            encoded
        },
    );
    encoded.extensions(31, schema);
    encoded
}

fn is_filled(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|fields: &Map<String, Value>| !fields.is_empty())
}
