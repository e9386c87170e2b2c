//! Bytes that are kept: as they came until somebody writes them, and deflated in the file.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// What is no longer than this is not worth deflating: the tables of that alone cost half a million instructions.
const STORED_UP_TO: u16 = 2 << 10;
/// How a deflated stream begins that is one block, stored as it is (RFC 1951, 3.2.4); its length follows, and the
/// length's complement.
const STORED: u8 = 1;

/// Some bytes; two are equal if they are so inflated.
#[derive(Clone, Debug)]
pub(super) enum Blob {
    Plain(Bytes),
    Deflated(Vec<u8>),
}

impl Blob {
    /// Returns the bytes as they came; `None` where the stream is damaged.
    pub(super) fn plain(&self) -> Option<Bytes> {
        match self {
            Self::Plain(bytes) => Some(bytes.clone()),
            Self::Deflated(stream) => inflate(stream).map(Bytes::from),
        }
    }

    /// Returns them deflated.
    pub(super) fn deflated(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Plain(bytes) => deflate(bytes).into(),
            Self::Deflated(stream) => stream.into(),
        }
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.plain() == other.plain()
    }
}

impl Eq for Blob {}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Plain(bytes.into())
    }
}

/// Returns what stands in a stream of one stored block.
fn stored(stream: &[u8]) -> Option<&[u8]> {
    let (&[form, a, b, c, d], content) = stream.split_first_chunk()?;
    let length = u16::from_le_bytes([a, b]);
    let agrees = u16::from_le_bytes([c, d]) == !length && content.len() == usize::from(length);
    (form == STORED && agrees).then_some(content)
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    if let Some(length) = u16::try_from(bytes.len()).ok().filter(|length| *length <= STORED_UP_TO) {
        return [&[STORED][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat();
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    // A Vec takes every write.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    if let Some(stored) = stored(bytes) {
        return Some(stored.to_vec());
    }
    let mut out = Vec::new();
    DeflateDecoder::new(bytes).read_to_end(&mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_a_deflated_stream_like_any_other() {
        for length in [0, 1, usize::from(STORED_UP_TO), usize::from(STORED_UP_TO) + 1, 70_000] {
            let bytes = vec![b'x'; length];
            let stream = deflate(&bytes);
            let mut out = Vec::new();
            DeflateDecoder::new(&stream[..]).read_to_end(&mut out).unwrap();
            assert_eq!((out.as_slice(), inflate(&stream).as_deref()), (bytes.as_slice(), Some(bytes.as_slice())));
            assert_eq!(stored(&stream).is_some(), length <= usize::from(STORED_UP_TO));
        }
        assert_eq!(inflate(&[STORED, 9, 0, !9, 0xff, b'x']), None, "half a block");
    }
}
