//! Messages to JSON, by the schema.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Number, Value};

use super::{
    ProtobufError,
    wire::{Fields, Wire, varint},
};
use crate::schema::{DEPTH_MAX, Shape, Tag, TypeId, Types};

/// Most values in a body: an object of the largest size that is accepted has fewer, and it bounds the memory that few
/// bytes can ask for.
const VALUES_MAX: usize = 300_000;

/// The type whose fields may hold a schema or something else.
const JSON_SCHEMA: &str = "JSONSchemaProps";

/// What may stand in place of a schema.
#[derive(Clone, Copy)]
enum Alternative {
    Bool,
    List,
}

impl Alternative {
    /// For the fields of a schema in which one may.
    fn of(field: &str) -> Option<Alternative> {
        match field {
            "additionalItems" | "additionalProperties" => Some(Alternative::Bool),
            "items" => Some(Alternative::List),
            _ => None,
        }
    }
}

/// Decodes the messages of one body.
pub(super) struct Decoder<'a> {
    types: &'a Types,
    depth: usize,
    values: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(types: &'a Types) -> Decoder<'a> {
        Decoder {
            types,
            depth: 0,
            values: 0,
        }
    }

    /// Adds the fields of a message to `target`.
    pub(super) fn message(
        &mut self,
        id: TypeId,
        bytes: &[u8],
        target: &mut Map<String, Value>,
    ) -> Result<(), ProtobufError> {
        self.enter()?;
        let types = self.types;
        for field in Fields::new(bytes) {
            let (tag, value) = field?;
            let direct = types
                .fields(id)
                .iter()
                .find(|field| field.tag == Some(Tag::Direct(tag)));
            if let Some(field) = direct
                && types.short_name(id) == JSON_SCHEMA
                && let Some(alternative) = Alternative::of(&field.name)
            {
                let decoded = self.schema_or(alternative, id, value.bytes()?)?;
                target.insert(field.name.to_string(), decoded);
            } else if let Some(field) = direct {
                self.field(&field.name, &field.shape, value, target)?;
            } else if is_inline(types, id, tag) {
                self.inline(id, tag, value.bytes()?, target)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// A schema, or what may stand in its place: in JSON the one or the other, in protobuf a message that holds both.
    fn schema_or(&mut self, alternative: Alternative, id: TypeId, bytes: &[u8]) -> Result<Value, ProtobufError> {
        self.count()?;
        let (mut schema, mut schemas, mut allows) = (None, Vec::new(), false);
        for field in Fields::new(bytes) {
            let (tag, value) = field?;
            match (alternative, tag) {
                (Alternative::Bool, 1) => allows = value.number()? != 0,
                (Alternative::Bool, 2) | (Alternative::List, 1) => {
                    schema = Some(self.value(&Shape::Struct(id), value)?);
                }
                (Alternative::List, 2) => schemas.push(self.value(&Shape::Struct(id), value)?),
                _ => {}
            }
        }
        Ok(match (schema, alternative) {
            (Some(schema), _) => schema,
            (None, Alternative::Bool) => Value::Bool(allows),
            (None, Alternative::List) => Value::Array(schemas),
        })
    }

    /// Adds the fields of a message that JSON spreads over the outer one.
    fn inline(
        &mut self,
        id: TypeId,
        outer: u32,
        bytes: &[u8],
        target: &mut Map<String, Value>,
    ) -> Result<(), ProtobufError> {
        let types = self.types;
        for field in Fields::new(bytes) {
            let (inner, value) = field?;
            let found = types
                .fields(id)
                .iter()
                .find(|field| field.tag == Some(Tag::Inline { outer, inner }));
            if let Some(field) = found {
                self.field(&field.name, &field.shape, value, target)?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        name: &str,
        shape: &Shape,
        value: Wire<'_>,
        target: &mut Map<String, Value>,
    ) -> Result<(), ProtobufError> {
        match shape {
            Shape::List(item) => {
                let list = target
                    .entry(name)
                    .or_insert_with(|| Value::Array(Vec::new()))
                    .as_array_mut()
                    .expect("only lists are put into a field of this shape");
                self.items(item, value, list)
            }
            Shape::Map(item) => {
                let map = target
                    .entry(name)
                    .or_insert_with(|| Value::Object(Map::new()))
                    .as_object_mut()
                    .expect("only maps are put into a field of this shape");
                self.entry(item, value.bytes()?, map)
            }
            Shape::Struct(id) => {
                self.count()?;
                let fields = target
                    .entry(name)
                    .or_insert_with(|| Value::Object(Map::new()))
                    .as_object_mut()
                    .expect("only structs are put into a field of this shape");
                self.message(*id, value.bytes()?, fields)
            }
            _ => {
                let value = self.value(shape, value)?;
                target.insert(name.to_owned(), value);
                Ok(())
            }
        }
    }

    /// Adds one item, or a packed run of numbers, to a list.
    fn items(&mut self, item: &Shape, value: Wire<'_>, list: &mut Vec<Value>) -> Result<(), ProtobufError> {
        if let (Shape::Int32 | Shape::Int64 | Shape::Bool, Wire::Bytes(mut packed)) = (item, value) {
            while !packed.is_empty() {
                let number = Wire::Varint(varint(&mut packed)?);
                list.push(self.value(item, number)?);
            }
            return Ok(());
        }
        list.push(self.value(item, value)?);
        Ok(())
    }

    /// Adds one entry to a map.
    fn entry(&mut self, item: &Shape, bytes: &[u8], map: &mut Map<String, Value>) -> Result<(), ProtobufError> {
        let mut key = "";
        let mut found = None;
        for field in Fields::new(bytes) {
            match field? {
                (1, name) => key = name.text()?,
                (2, value) => found = Some(value),
                _ => {}
            }
        }
        let value = match (item, found) {
            // A list as a map's value is wrapped into a message.
            (Shape::List(inner), Some(wrapped)) => {
                self.count()?;
                let mut list = Vec::new();
                for field in Fields::new(wrapped.bytes()?) {
                    if let (1, value) = field? {
                        self.items(inner, value, &mut list)?;
                    }
                }
                Value::Array(list)
            }
            (item, Some(value)) => self.value(item, value)?,
            (item, None) => self.absent(item)?,
        };
        map.insert(key.to_owned(), value);
        Ok(())
    }

    /// The value of an entry that names none.
    fn absent(&mut self, shape: &Shape) -> Result<Value, ProtobufError> {
        match shape {
            Shape::Int32 | Shape::Int64 | Shape::Bool => self.value(shape, Wire::Varint(0)),
            Shape::Double => self.value(shape, Wire::Fixed64(0)),
            Shape::List(_) => Ok(Value::Array(Vec::new())),
            Shape::Map(_) => Ok(Value::Object(Map::new())),
            _ => self.value(shape, Wire::Bytes(&[])),
        }
    }

    fn value(&mut self, shape: &Shape, value: Wire<'_>) -> Result<Value, ProtobufError> {
        self.count()?;
        Ok(match shape {
            Shape::String => Value::from(value.text()?),
            Shape::Bytes => Value::String(STANDARD.encode(value.bytes()?)),
            Shape::Int32 => {
                // As decoders do: the lower 32 bits.
                let number = value.number()?;
                Value::from((number & 0xffff_ffff).cast_unsigned() as u32 as i32)
            }
            Shape::Int64 => Value::from(value.number()?),
            Shape::Bool => Value::Bool(value.number()? != 0),
            Shape::Double => Number::from_f64(value.float()?).map_or(Value::Null, Value::Number),
            Shape::Quantity => first_text(value)?,
            Shape::IntOrString => int_or_string(value)?,
            Shape::Time => time(value, 0)?,
            Shape::MicroTime => time(value, 6)?,
            Shape::Any => raw_json(value)?,
            Shape::Struct(id) => {
                let mut fields = Map::new();
                self.message(*id, value.bytes()?, &mut fields)?;
                Value::Object(fields)
            }
            Shape::List(_) | Shape::Map(_) => {
                return Err(ProtobufError::Malformed("a list of lists has no encoding"));
            }
        })
    }

    fn enter(&mut self) -> Result<(), ProtobufError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ProtobufError::TooBig("nests too deep"));
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), ProtobufError> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(ProtobufError::TooBig("has too many values"));
        }
        Ok(())
    }
}

fn is_inline(types: &Types, id: TypeId, tag: u32) -> bool {
    types
        .fields(id)
        .iter()
        .any(|field| matches!(field.tag, Some(Tag::Inline { outer, .. }) if outer == tag))
}

/// A message whose first field is the text.
fn first_text(value: Wire<'_>) -> Result<Value, ProtobufError> {
    let mut text = "";
    for field in Fields::new(value.bytes()?) {
        if let (1, value) = field? {
            text = value.text()?;
        }
    }
    Ok(match text {
        "" => Value::from("0"),
        text => Value::from(text),
    })
}

fn int_or_string(value: Wire<'_>) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut text) = (false, 0, "");
    for field in Fields::new(value.bytes()?) {
        match field? {
            (1, value) => is_text = value.number()? == 1,
            (2, value) => number = value.number()?,
            (3, value) => text = value.text()?,
            _ => {}
        }
    }
    Ok(if is_text {
        Value::from(text)
    } else {
        Value::from(number)
    })
}

/// A point in time; the zero time is no time.
fn time(value: Wire<'_>, precision: u8) -> Result<Value, ProtobufError> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::new(value.bytes()?) {
        match field? {
            (1, value) => seconds = value.number()?,
            (2, value) => nanos = value.number()?,
            _ => {}
        }
    }
    if seconds == 0 && nanos == 0 {
        return Ok(Value::Null);
    }
    const RANGE: ProtobufError = ProtobufError::Malformed("time out of range");
    let nanos = i32::try_from(nanos).map_err(|_| RANGE)?;
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(RANGE);
    }
    let time = Timestamp::from_duration(SignedDuration::new(seconds, nanos)).map_err(|_| RANGE)?;
    Ok(Value::String(match precision {
        0 => format!("{time:.0}"),
        _ => format!("{time:.6}"),
    }))
}

/// A message whose first field is JSON.
fn raw_json(value: Wire<'_>) -> Result<Value, ProtobufError> {
    let mut raw: &[u8] = &[];
    for field in Fields::new(value.bytes()?) {
        if let (1, value) = field? {
            raw = value.bytes()?;
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    crate::schema::parse_strict(raw)
        .map(|parsed| parsed.value)
        .map_err(|_| ProtobufError::Malformed("embedded JSON that is none"))
}
