//! Server-sent events, read from chunks of any size: pure, no clock, no network.
//!
//! The gateway writes one event per batch: `data: `, the JSON, two line feeds. Everything else the
//! format allows is read as well, for there may be proxies between: all three line ends, a byte
//! order mark, comments, fields with and without the space, several lines of data.
//!
//! A line that lies in one chunk is handed out as a part of that chunk, without being copied.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2};

use crate::nozzle::source::slabs::Slabs;

/// The longest line, and the most data of one event. A hundred envelopes of 60 KiB make 8 MiB.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An ordinary event: its data, never empty.
    Data(Bytes),
    /// A heartbeat, or an event of a name not known here: nothing to deliver.
    Life,
    /// The server is about to end the stream.
    Closing,
    /// A line or an event is too long; it is skipped.
    TooLong,
}

/// Takes chunks, gives events.
#[derive(Debug)]
pub struct Reader {
    line_bytes_max: usize,
    /// What is left of the latest chunk.
    chunk: Bytes,
    /// The beginning of a line that goes on in the next chunk.
    begun: Slabs,
    /// How long the line before was: the next one is likely to need as much.
    usual_bytes: usize,
    /// The latest line ended with a carriage return; a line feed right after it is part of that end.
    after_return: bool,
    /// The line that goes on is too long, and thrown away.
    skipping: bool,
    /// No line has been read yet.
    at_start: bool,
    event: Gathered,
}

/// The fields of the event that is being read.
#[derive(Debug, Default)]
struct Gathered {
    kind: Kind,
    data: Data,
    /// A part of it was too long.
    spoilt: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Message,
    Closing,
    Other,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Several(BytesMut),
}

enum Line {
    Whole(Bytes),
    TooLong,
}

impl Reader {
    /// Starts at the beginning of a stream, with a limit other than [`LINE_BYTES_MAX`].
    pub fn with_limit(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            chunk: Bytes::new(),
            begun: Slabs::default(),
            usual_bytes: 0,
            after_return: false,
            skipping: false,
            at_start: true,
            event: Gathered::default(),
        }
    }

    /// Takes the next chunk; call it when [`Reader::next_event`] has given all events of the one before.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "the chunk before has been read");
        self.chunk = chunk;
    }

    /// The next event that is complete.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let line = match self.line()? {
                Line::Whole(line) => line,
                // One event is one frame, whatever is wrong with it.
                Line::TooLong if self.event.spoilt => continue,
                Line::TooLong => {
                    self.event.spoilt = true;
                    return Some(Event::TooLong);
                }
            };
            let event = match line.is_empty() {
                true => std::mem::take(&mut self.event).finish(),
                false => self.event.field(line, self.line_bytes_max),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Whether an event has begun that is not complete.
    pub fn is_within_event(&self) -> bool {
        self.skipping || self.begun.begun() > 0 || !matches!(self.event.data, Data::None)
    }

    /// The next line that is complete, without its end.
    fn line(&mut self) -> Option<Line> {
        loop {
            if self.after_return && self.chunk.has_remaining() {
                self.after_return = false;
                if self.chunk.first() == Some(&b'\n') {
                    self.chunk.advance(1);
                }
            }
            let Some(end) = memchr2(b'\n', b'\r', &self.chunk) else {
                return self.keep_beginning();
            };
            let rest = self.chunk.split_to(end);
            self.after_return = self.chunk.first() == Some(&b'\r');
            self.chunk.advance(1);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            return Some(self.complete(rest));
        }
    }

    /// The chunk ends within a line.
    fn keep_beginning(&mut self) -> Option<Line> {
        let beginning = std::mem::take(&mut self.chunk);
        if self.skipping {
            return None;
        }
        if self.begun.begun() + beginning.len() > self.line_bytes_max {
            self.begun.abandon();
            self.skipping = true;
            return Some(Line::TooLong);
        }
        if self.begun.begun() == 0 && !beginning.is_empty() {
            self.begun.reserve(beginning.len().max(self.usual_bytes));
        }
        self.begun.extend(&beginning);
        None
    }

    /// A line ends with `rest`.
    fn complete(&mut self, rest: Bytes) -> Line {
        if self.begun.begun() + rest.len() > self.line_bytes_max {
            self.begun.abandon();
            return Line::TooLong;
        }
        let mut line = rest;
        if self.begun.begun() > 0 {
            self.begun.extend(&line);
            line = self.begun.finish();
            self.usual_bytes = line.len();
        }
        if std::mem::take(&mut self.at_start) && line.starts_with(BYTE_ORDER_MARK) {
            line.advance(BYTE_ORDER_MARK.len());
        }
        Line::Whole(line)
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::with_limit(LINE_BYTES_MAX)
    }
}

impl Gathered {
    /// Takes in one line that is not empty; says so when the event becomes too long.
    fn field(&mut self, mut line: Bytes, bytes_max: usize) -> Option<Event> {
        let (name, value_at) = match memchr(b':', &line) {
            Some(colon) => (line.split_to(colon), 1),
            None => (std::mem::take(&mut line), 0),
        };
        line.advance(value_at);
        if line.first() == Some(&b' ') {
            line.advance(1);
        }
        match &name[..] {
            b"data" if !self.spoilt => return self.add(line, bytes_max),
            b"event" => {
                self.kind = match &line[..] {
                    b"" | b"message" => Kind::Message,
                    b"closing" => Kind::Closing,
                    _ => Kind::Other,
                };
            }
            // Comments, which have no name; `id` and `retry`, which mean nothing here; the
            // `heartbeat` lines of very old gateways.
            _ => {}
        }
        None
    }

    fn add(&mut self, line: Bytes, bytes_max: usize) -> Option<Event> {
        let mut several = match std::mem::take(&mut self.data) {
            Data::None => {
                self.data = Data::One(line);
                return None;
            }
            Data::One(first) => BytesMut::from(first),
            Data::Several(several) => several,
        };
        if several.len() + 1 + line.len() > bytes_max {
            self.spoilt = true;
            return Some(Event::TooLong);
        }
        several.extend_from_slice(b"\n");
        several.extend_from_slice(&line);
        self.data = Data::Several(several);
        None
    }

    /// The event is complete.
    fn finish(self) -> Option<Event> {
        match (self.kind, self.data) {
            _ if self.spoilt => None,
            (Kind::Closing, _) => Some(Event::Closing),
            (_, Data::None) => None,
            (Kind::Message, Data::One(data)) if !data.is_empty() => Some(Event::Data(data)),
            (Kind::Message, Data::Several(data)) => Some(Event::Data(data.freeze())),
            (Kind::Message | Kind::Other, _) => Some(Event::Life),
        }
    }
}

#[cfg(test)]
mod tests;
