//! Loggregator v2: batches and envelopes.

use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::reader::Reader;

/// The envelopes of an `EnvelopeBatch`, undecoded, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a>(Reader<'a>);

impl<'a> Batch<'a> {
    /// Starts at the first envelope of a batch message.
    pub fn new(message: &'a [u8]) -> Self {
        Self(Reader::new(message))
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = Result<&'a [u8], Malformed>;

    /// The next envelope's bytes. After an error there is no next one.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next_field() {
                Ok(None) => return None,
                Ok(Some((1, value))) => return Some(value.bytes()),
                Ok(Some(_)) => {}
                Err(kind) => {
                    self.0 = Reader::new(&[]);
                    return Some(Err(kind));
                }
            }
        }
    }
}

/// How many envelopes a batch message holds, by hopping over their lengths.
pub fn count_envelopes(message: &[u8]) -> u64 {
    Batch::new(message).filter(Result::is_ok).count() as u64
}
