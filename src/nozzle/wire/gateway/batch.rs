//! The envelopes of a batch, and where one ends and the next one starts.
//!
//! An element of the array is what stands between two commas outside all brackets and strings, so a
//! damaged one can be hopped over. Where even that cannot be told any more, the rest of the frame
//! is one piece of damage.

use crate::nozzle::json::{Cursor, words};
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::gateway::reader::Reader;
use crate::nozzle::wire::gateway::{Envelope, Scratch};

/// The envelopes of a frame, one after another.
#[derive(Debug)]
pub struct Batch<'a> {
    frame: &'a [u8],
    walk: Walk<'a>,
    is_utf8: bool,
    /// Whether any damage was reported.
    blamed: bool,
}

impl<'a> Batch<'a> {
    /// Starts at the first envelope of a frame.
    pub fn new(frame: &'a [u8]) -> Self {
        Self { frame, walk: Walk::new(frame), is_utf8: std::str::from_utf8(frame).is_ok(), blamed: false }
    }

    /// The next envelope, or what is wrong with it; `None` at the end.
    #[inline]
    pub fn next<'s>(&mut self, scratch: &'s mut Scratch) -> Option<Result<Envelope<'s>, Malformed>>
    where
        'a: 's,
    {
        let start = match self.walk.element() {
            Some(Ok(start)) => start,
            Some(Err(kind)) => return Some(self.blame(kind)),
            // Then it is outside of all envelopes.
            None if !self.is_utf8 && !self.blamed => return Some(self.blame(Malformed::Frame)),
            None => return None,
        };
        if !self.is_utf8 {
            return Some(self.next_by_itself(start, scratch).or_else(|kind| self.blame(kind)));
        }
        let frame: &'s [u8] = self.frame;
        let mut reader = Reader::new(Cursor::starting_at(frame, start));
        let read = Envelope::read(&mut reader, &mut scratch.room(frame.len()));
        let end = reader.start();
        if read.is_ok() && matches!(frame.get(end), Some(b',' | b']')) {
            self.walk.skip_to(end);
            return Some(read);
        }
        self.walk.hop_or_end();
        Some(Err(read.err().unwrap_or(if end == frame.len() {
            Malformed::Truncated
        } else {
            Malformed::Json
        })))
    }

    #[cold]
    fn blame<T>(&mut self, kind: Malformed) -> Result<T, Malformed> {
        self.blamed = true;
        Err(kind)
    }

    /// The slow way: somewhere in the frame are bytes that are no UTF-8, perhaps in another envelope.
    #[cold]
    fn next_by_itself<'s>(
        &mut self,
        start: usize,
        scratch: &'s mut Scratch,
    ) -> Result<Envelope<'s>, Malformed>
    where
        'a: 's,
    {
        if !self.walk.hop_or_end() {
            return Err(Malformed::Truncated);
        }
        Envelope::parse(self.frame.get(start..self.walk.cursor.at()).unwrap_or_default(), scratch)
    }
}

/// How many envelopes a frame holds, by hopping from comma to comma.
pub fn count_envelopes(frame: &[u8]) -> u64 {
    let mut walk = Walk::new(frame);
    let mut n = 0;
    while let Some(Ok(_)) = walk.element() {
        n += u64::from(walk.hop_or_end());
    }
    n
}

/// What is expected next in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The batch itself.
    Start,
    /// The first member, or no member at all.
    FirstMember,
    /// Another member.
    Member,
    /// What follows a member.
    MemberEnd,
    /// The first envelope, or none at all.
    FirstElement,
    /// What follows an envelope.
    ElementEnd,
    /// Nothing but white space.
    End,
    /// Nothing is looked at any more.
    Done,
}

/// Finds the elements of `batch`. A frame with that member twice has the elements of both.
#[derive(Debug)]
struct Walk<'a> {
    cursor: Cursor<'a>,
    place: Place,
    /// A member that is no correct JSON was hopped over.
    damaged: bool,
}

impl<'a> Walk<'a> {
    fn new(frame: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(frame), place: Place::Start, damaged: false }
    }

    /// Where the next element starts. [`skip_to`](Self::skip_to) or
    /// [`hop_or_end`](Self::hop_or_end) has to lead to its end before this is asked again.
    #[inline]
    fn element(&mut self) -> Option<Result<usize, Malformed>> {
        loop {
            self.cursor.space();
            let next = match self.place {
                Place::FirstElement if self.cursor.take(b']') => Place::MemberEnd,
                Place::FirstElement => return Some(Ok(self.start_element())),
                Place::ElementEnd if self.cursor.take(b',') => {
                    self.cursor.space();
                    return Some(Ok(self.start_element()));
                }
                Place::ElementEnd if self.cursor.take(b']') => Place::MemberEnd,
                Place::Start if self.cursor.take(b'{') => Place::FirstMember,
                Place::FirstMember if self.cursor.take(b'}') => Place::End,
                Place::FirstMember | Place::Member => match self.member() {
                    Ok(place) => place,
                    Err(kind) => return self.fail(kind),
                },
                Place::MemberEnd if self.cursor.take(b',') => Place::Member,
                Place::MemberEnd if self.cursor.take(b'}') => Place::End,
                Place::End if self.cursor.is_end() && !self.damaged => return None,
                Place::Done => return None,
                Place::Start if self.cursor.value().is_some() => return self.fail(Malformed::WireType),
                _ if self.cursor.is_end() && self.place != Place::End => {
                    return self.fail(Malformed::Truncated);
                }
                _ => return self.fail(Malformed::Json),
            };
            self.place = next;
        }
    }

    fn start_element(&mut self) -> usize {
        self.place = Place::ElementEnd;
        self.cursor.at()
    }

    /// Reads a member other than `batch`, or the beginning of that.
    fn member(&mut self) -> Result<Place, Malformed> {
        let damage =
            |cursor: &Cursor<'_>| if cursor.is_end() { Malformed::Truncated } else { Malformed::Json };
        let key = self.cursor.key().ok_or_else(|| damage(&self.cursor))?;
        self.cursor.space();
        let is_batch = &*key.text() == b"batch";
        if is_batch && self.cursor.take(b'[') {
            return Ok(Place::FirstElement);
        }
        let (is_null, start) = (self.cursor.peek() == Some(b'n'), self.cursor);
        if self.cursor.value().is_some() {
            return if is_batch && !is_null { Err(Malformed::WireType) } else { Ok(Place::MemberEnd) };
        }
        self.cursor = start;
        self.damaged = true;
        match hop(&mut self.cursor) {
            Some(b',' | b'}') => Ok(Place::MemberEnd),
            _ => Err(damage(&self.cursor)),
        }
    }

    fn fail(&mut self, kind: Malformed) -> Option<Result<usize, Malformed>> {
        self.place = Place::Done;
        Some(Err(kind))
    }

    /// Goes to the end of an element that was read.
    #[inline]
    fn skip_to(&mut self, end: usize) {
        self.cursor.go_to(end);
    }

    /// Hops over an element, read or not; false if it cannot be told where it ends.
    fn hop_or_end(&mut self) -> bool {
        let found = matches!(hop(&mut self.cursor), Some(b',' | b']'));
        if !found {
            self.place = Place::Done;
        }
        found
    }
}

/// Goes to the next comma or closing bracket outside of all brackets and strings that open here.
fn hop(cursor: &mut Cursor<'_>) -> Option<u8> {
    let text = cursor.rest();
    let (mut at, mut depth) = (0, 0_usize);
    let found = loop {
        let Some(byte) = text.get(at) else { break None };
        match byte {
            b'"' => {
                let Some(end) = string_end(text, at + 1) else { break None };
                at = end;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' | b'}' | b']' if depth == 0 => break Some(*byte),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    };
    cursor.go_to(cursor.at() + if found.is_some() { at } else { text.len() });
    found
}

/// The place after the quote that ends the string.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += words::plain_run(text.get(at..)?);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            // Whatever is escaped, it does not end the string.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
