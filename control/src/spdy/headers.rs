//! Header blocks of SPDY/3.1: names and values, compressed by zlib with a dictionary, one stream per direction.
//!
//! Source: draft-mbelshe-httpbis-spdy-00, section 2.6.10.

use std::sync::LazyLock;

use bytes::{Buf as _, BufMut as _};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Most bytes of a header block, decompressed; a request of a client has some hundred.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// Bytes decompressed at once.
const STEP_BYTES: usize = 4 << 10;

/// Names in lower case and values, in order.
pub type Headers = Vec<(String, String)>;

/// A header block that is none.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It is not compressed as it should be.
    #[error("decompress a header block")]
    Zlib(#[source] flate2::DecompressError),
    /// It is longer than anybody needs.
    #[error("a header block of more than {BLOCK_BYTES_MAX} bytes")]
    TooLong,
    /// It says that there is more than there is.
    #[error("a header block that ends too early")]
    Short,
}

/// What both sides have before the first block.
static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dictionary = Vec::new();
    for word in DICTIONARY_WORDS {
        put_text(&mut dictionary, word);
    }
    dictionary.extend_from_slice(DICTIONARY_REST.as_bytes());
    dictionary
});

const DICTIONARY_WORDS: [&str; 65] = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];

const DICTIONARY_REST: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
    404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,\
    publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.put_u32(u32::try_from(text.len()).expect("headers of our own are short"));
    bytes.extend_from_slice(text.as_bytes());
}

/// Decompresses the blocks of one direction, in order.
#[derive(Debug)]
pub(super) struct Decompressor {
    zlib: Decompress,
}

impl Decompressor {
    pub(super) fn new() -> Decompressor {
        Decompressor {
            zlib: Decompress::new(true),
        }
    }

    /// The headers of one block.
    pub(super) fn block(&mut self, mut compressed: &[u8]) -> Result<Headers, HeaderError> {
        let mut block = Vec::new();
        loop {
            let mut step = [0; STEP_BYTES];
            let (before_in, before_out) = (self.zlib.total_in(), self.zlib.total_out());
            let result = self.zlib.decompress(compressed, &mut step, FlushDecompress::Sync);
            let taken = usize::try_from(self.zlib.total_in() - before_in).unwrap_or(usize::MAX);
            let made = usize::try_from(self.zlib.total_out() - before_out).unwrap_or(usize::MAX);
            compressed = compressed.get(taken..).unwrap_or_default();
            block.extend_from_slice(step.get(..made).unwrap_or_default());
            let status = match result {
                Ok(status) => status,
                Err(err) if err.needs_dictionary().is_some() => {
                    self.zlib.set_dictionary(&DICTIONARY).map_err(HeaderError::Zlib)?;
                    continue;
                }
                Err(err) => return Err(HeaderError::Zlib(err)),
            };
            if block.len() > BLOCK_BYTES_MAX {
                return Err(HeaderError::TooLong);
            }
            // Room that is left says that all was decompressed; a stream that has ended makes no more either.
            let is_stuck = taken == 0 && made == 0;
            if is_stuck || (compressed.is_empty() && made < STEP_BYTES) || status == Status::StreamEnd {
                break;
            }
        }
        parse(&block)
    }
}

fn parse(mut block: &[u8]) -> Result<Headers, HeaderError> {
    let count = block.try_get_u32().map_err(|_| HeaderError::Short)?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let name = take_text(&mut block)?.to_ascii_lowercase();
        let value = take_text(&mut block)?;
        headers.push((name, value));
    }
    Ok(headers)
}

fn take_text(block: &mut &[u8]) -> Result<String, HeaderError> {
    let length = block.try_get_u32().map_err(|_| HeaderError::Short)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (text, rest) = block.split_at_checked(length).ok_or(HeaderError::Short)?;
    *block = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Compresses the blocks of one direction, in order.
#[derive(Debug)]
pub(super) struct Compressor {
    zlib: Compress,
}

impl Compressor {
    pub(super) fn new() -> Compressor {
        let mut zlib = Compress::new(Compression::default(), true);
        zlib.set_dictionary(&DICTIONARY)
            .expect("a new compressor takes a dictionary");
        Compressor { zlib }
    }

    /// One block of these headers.
    pub(super) fn block(&mut self, headers: &Headers) -> Vec<u8> {
        let mut block = Vec::new();
        block.put_u32(u32::try_from(headers.len()).expect("headers of our own are few"));
        for (name, value) in headers {
            put_text(&mut block, name);
            put_text(&mut block, value);
        }
        let mut compressed = Vec::with_capacity(block.len() + STEP_BYTES);
        let mut rest = block.as_slice();
        loop {
            let before = self.zlib.total_in();
            self.zlib
                .compress_vec(rest, &mut compressed, FlushCompress::Sync)
                .expect("compressing into memory does not fail");
            let taken = usize::try_from(self.zlib.total_in() - before).expect("no more than there was");
            rest = &rest[taken..];
            // Room that is left says that all was flushed.
            if rest.is_empty() && compressed.len() < compressed.capacity() {
                return compressed;
            }
            compressed.reserve(STEP_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_one_of_the_specification() {
        let adler = DICTIONARY.iter().fold((1_u32, 0_u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (b + a) % 65521)
        });
        assert_eq!((DICTIONARY.len(), adler.1 << 16 | adler.0), (1423, 0xe3c6_a7c2));
    }
}
