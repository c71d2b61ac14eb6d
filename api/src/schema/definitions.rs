//! The embedded definitions, as text.

use std::io::Read;

use flate2::read::GzDecoder;

static COMPRESSED: &[u8] = include_bytes!("../../schema/definitions.json.gz");

/// The definitions as JSON: OpenAPI 3 schemas by name. Costs a decompression of about 1.6 MB each time; callers keep
/// what they need and drop the text.
pub(crate) fn definitions_json() -> Vec<u8> {
    let mut text = Vec::with_capacity(2 << 20);
    GzDecoder::new(COMPRESSED)
        .read_to_end(&mut text)
        .expect("the embedded definitions are what xtask compressed");
    text
}
