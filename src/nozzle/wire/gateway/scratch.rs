//! Where what cannot be borrowed from the frame is decoded to.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64_simd::{Out, STANDARD};

use crate::nozzle::json::{Str, unescape};
use crate::nozzle::ledger::Malformed;

/// Room that is kept from one frame to the next; more is given back.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// The gateway pads; what does not is read as well.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Bytes for decoding one envelope after another, as many as the longest frame has.
#[derive(Debug, Default)]
pub struct Scratch(Vec<u8>);

impl Scratch {
    /// Room for everything in a text of this length: nothing gets longer by being decoded.
    pub(super) fn room(&mut self, text_bytes: usize) -> Room<'_> {
        if self.0.len() < text_bytes {
            self.0.resize(text_bytes, 0);
        }
        Room { rest: &mut self.0 }
    }

    /// What it takes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.0.len()
    }

    /// Gives back the room that a large frame has taken.
    pub fn trim(&mut self) {
        if self.0.len() > KEPT_BYTES_MAX {
            self.0 = Vec::new();
        }
    }
}

/// The room left while one envelope is read.
#[derive(Debug)]
pub(super) struct Room<'a> {
    rest: &'a mut [u8],
}

impl<'a> Room<'a> {
    /// What a string stands for: itself, or its decoded copy.
    #[inline]
    pub(super) fn text(&mut self, string: Str<'a>) -> Result<&'a [u8], Malformed> {
        if string.escaped { self.unescaped(string.raw) } else { Ok(string.raw) }
    }

    #[cold]
    fn unescaped(&mut self, raw: &[u8]) -> Result<&'a [u8], Malformed> {
        let mut length = 0;
        unescape(raw, |piece| {
            if let Some(to) = self.rest.get_mut(length..length + piece.len()) {
                to.copy_from_slice(piece);
            }
            length += piece.len();
        });
        self.keep(length)
    }

    /// The bytes that a string holds in base64.
    #[inline]
    pub(super) fn base64(&mut self, string: Str<'a>) -> Result<&'a [u8], Malformed> {
        let text = string.text();
        // The usual: padded, and decoded as fast as the CPU can. Anything else is left to the lenient way.
        let usual = STANDARD.decode(&text, Out::from_slice(self.rest)).map(|bytes| bytes.len());
        let length = match usual {
            Ok(length) => length,
            Err(_) => LENIENT.decode_slice(&text, self.rest).map_err(|_| Malformed::Base64)?,
        };
        self.keep(length)
    }

    #[inline]
    fn keep(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        // Cannot fail: there was room for the whole text.
        let (kept, rest) =
            std::mem::take(&mut self.rest).split_at_mut_checked(length).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(kept)
    }
}
