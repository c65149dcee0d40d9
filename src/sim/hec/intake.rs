//! Taking a request's body in: inflating it as it comes, within the size limit.
//!
//! A compressed body is never held; a body that is only counted is never held at all.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use super::scan::Scanner;

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// What is made of a body.
#[derive(Debug)]
pub(super) enum Digest {
    /// Nothing: the answer is known already.
    Nothing,
    /// Its events are counted.
    Scanned(Scanner),
    /// It is kept.
    Collected(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntakeError {
    /// More than the limit, inflated.
    TooLarge,
    /// No gzip, or cut short.
    BadGzip,
}

/// A body on its way in.
#[derive(Debug)]
pub(super) enum Intake {
    Plain(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
}

impl Intake {
    pub(super) fn new(encoding: Encoding, digest: Digest, limit_bytes: usize) -> Self {
        let sink = Sink { digest, bytes: 0, limit_bytes: limit_bytes as u64, over: false };
        match (encoding, &sink.digest) {
            (Encoding::Identity, _) | (_, Digest::Nothing) => Self::Plain(sink),
            (Encoding::Gzip, _) => Self::Gzip(Box::new(MultiGzDecoder::new(sink))),
        }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), IntakeError> {
        match self {
            Self::Plain(sink) => sink.write_all(chunk).map_err(|_| IntakeError::TooLarge),
            Self::Gzip(decoder) => {
                let result = decoder.write_all(chunk);
                result.map_err(|_| decoder.get_ref().error())
            }
        }
    }

    /// What has become of the body, and its bytes after inflation.
    pub(super) fn finish(self) -> Result<(Digest, u64), IntakeError> {
        let sink = match self {
            Self::Plain(sink) => sink,
            Self::Gzip(mut decoder) => {
                let result = decoder.try_finish();
                result.map_err(|_| decoder.get_ref().error())?;
                decoder.finish().map_err(|_| IntakeError::BadGzip)?
            }
        };
        Ok((sink.digest, sink.bytes))
    }
}

/// Where the inflated bytes go.
#[derive(Debug)]
pub(super) struct Sink {
    digest: Digest,
    bytes: u64,
    limit_bytes: u64,
    over: bool,
}

impl Sink {
    fn error(&self) -> IntakeError {
        if self.over { IntakeError::TooLarge } else { IntakeError::BadGzip }
    }
}

impl Write for Sink {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.limit_bytes {
            self.over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        match &mut self.digest {
            Digest::Nothing => {}
            Digest::Scanned(scanner) => scanner.feed(chunk),
            Digest::Collected(body) => body.extend_from_slice(chunk),
        }
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn collect(encoding: Encoding, limit: usize, body: &[u8]) -> Result<Vec<u8>, IntakeError> {
        let mut intake = Intake::new(encoding, Digest::Collected(Vec::new()), limit);
        for chunk in body.chunks(7) {
            intake.feed(chunk)?;
        }
        match intake.finish()? {
            (Digest::Collected(body), _) => Ok(body),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn inflates_in_pieces_and_knows_a_cut() {
        let text = b"{\"event\":1}".repeat(50);
        let packed = gzip(&text);
        assert_eq!(collect(Encoding::Gzip, 1000, &packed), Ok(text.clone()));
        for cut in [1, 9, packed.len() / 2, packed.len() - 1] {
            let result = collect(Encoding::Gzip, 1000, &packed[..cut]);
            assert_eq!(result, Err(IntakeError::BadGzip), "cut at {cut}");
        }
        assert_eq!(collect(Encoding::Gzip, 1000, &text), Err(IntakeError::BadGzip));
        let two = [packed.clone(), packed].concat();
        assert_eq!(collect(Encoding::Gzip, 2000, &two), Ok(text.repeat(2)), "members follow each other");
    }

    #[test]
    fn the_limit_is_on_inflated_bytes() {
        let text = vec![b' '; 100];
        for (limit, fits) in [(99, false), (100, true), (101, true)] {
            assert_eq!(collect(Encoding::Identity, limit, &text).is_ok(), fits, "{limit}");
            assert_eq!(collect(Encoding::Gzip, limit, &gzip(&text)).is_ok(), fits, "{limit}");
        }
        let bomb = gzip(&vec![0; 1 << 20]);
        assert_eq!(collect(Encoding::Gzip, 1 << 16, &bomb), Err(IntakeError::TooLarge));
    }
}
