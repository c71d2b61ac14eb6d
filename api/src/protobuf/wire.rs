//! The protobuf wire format: tags, varints, lengths.
//!
//! Source: "Encoding" in the Protocol Buffers documentation.

use super::ProtobufError;

/// The fields of one message, in order.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// A field's value as it stands on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    /// A variable-length number.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// Bytes with a length: text, a message, a packed list.
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { rest: bytes }
    }

    fn field(&mut self) -> Result<(u32, Wire<'a>), ProtobufError> {
        let key = varint(&mut self.rest)?;
        let tag = u32::try_from(key >> 3).map_err(|_| ProtobufError::Malformed("field number out of range"))?;
        if tag == 0 {
            return Err(ProtobufError::Malformed("field number zero"));
        }
        let value = match key & 7 {
            0 => Wire::Varint(varint(&mut self.rest)?),
            1 => Wire::Fixed64(u64::from_le_bytes(take(&mut self.rest)?)),
            2 => {
                let length = varint(&mut self.rest)?;
                let length = usize::try_from(length).map_err(|_| TRUNCATED)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
                self.rest = rest;
                Wire::Bytes(bytes)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(take(&mut self.rest)?)),
            _ => return Err(ProtobufError::Malformed("unknown wire type")),
        };
        Ok((tag, value))
    }
}

const TRUNCATED: ProtobufError = ProtobufError::Malformed("unexpected end");

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), ProtobufError>;

    /// The next field; after an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Wire<'a> {
    /// The bytes of a value with a length.
    pub(super) fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self {
            Wire::Bytes(bytes) => Ok(bytes),
            Wire::Varint(_) | Wire::Fixed64(_) | Wire::Fixed32(_) => Err(WRONG_TYPE),
        }
    }

    /// The bytes as text.
    pub(super) fn text(self) -> Result<&'a str, ProtobufError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ProtobufError::Malformed("text that is not UTF-8"))
    }

    /// A whole number; negative ones are ten bytes long.
    pub(super) fn number(self) -> Result<i64, ProtobufError> {
        match self {
            Wire::Varint(value) => Ok(value.cast_signed()),
            Wire::Bytes(_) | Wire::Fixed64(_) | Wire::Fixed32(_) => Err(WRONG_TYPE),
        }
    }

    /// A floating-point number.
    pub(super) fn float(self) -> Result<f64, ProtobufError> {
        match self {
            Wire::Fixed64(bits) => Ok(f64::from_bits(bits)),
            Wire::Fixed32(bits) => Ok(f64::from(f32::from_bits(bits))),
            Wire::Bytes(_) | Wire::Varint(_) => Err(WRONG_TYPE),
        }
    }
}

const WRONG_TYPE: ProtobufError = ProtobufError::Malformed("a field has another wire type than its kind says");

/// Reads a number of at most ten bytes.
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(TRUNCATED)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ProtobufError::Malformed("number of more than 64 bits"))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], ProtobufError> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or(TRUNCATED)?;
    *bytes = rest;
    Ok(*taken)
}
