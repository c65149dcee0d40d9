//! Counting events without parsing them.
//!
//! One pass over the structure of JSON, 64 bytes at a time: quotes, backslashes and braces
//! become bit masks, strings are masked out, the braces left are counted; an event ends where
//! the outermost one closes. Chunks may end anywhere. What is inside an event is not checked: a
//! body this scanner counts may still be refused by a real server. It is several times as fast
//! as a sender can be, so that it never is what a benchmark measures.

use super::config::Endpoint;
use crate::clock::UnixNanos;

/// Of so many events the time of one is read.
const TIMED: u64 = 16;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// At an event's end, or before the first event.
    Clean,
    /// Inside an event, or in something that is no event.
    Broken,
}

/// Counts the events of one body.
#[derive(Clone, Debug)]
pub(super) enum Scanner {
    Json(JsonScanner),
    Timed(TimedScanner),
    Lines(LineScanner),
}

impl Scanner {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Raw => Self::Lines(LineScanner::default()),
            Endpoint::Event | Endpoint::Ack | Endpoint::Health => Self::Json(JsonScanner::default()),
        }
    }

    /// As [`Scanner::new`], reading the time of some events; lines have none.
    pub(super) fn timed(endpoint: Endpoint) -> Self {
        match Self::new(endpoint) {
            Self::Json(json) => Self::Timed(TimedScanner { json, times: Vec::new(), next: 0 }),
            other => other,
        }
    }

    /// The times that were read.
    pub(super) fn times(&self) -> &[UnixNanos] {
        match self {
            Self::Timed(scanner) => &scanner.times,
            Self::Json(_) | Self::Lines(_) => &[],
        }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) {
        match self {
            Self::Json(scanner) => scanner.feed(chunk, |_| {}),
            Self::Timed(scanner) => scanner.feed(chunk),
            Self::Lines(scanner) => scanner.feed(chunk),
        }
    }

    /// Events seen to their end.
    pub(super) fn events(&self) -> u64 {
        match self {
            Self::Json(scanner) => scanner.events,
            Self::Timed(scanner) => scanner.json.events,
            Self::Lines(scanner) => scanner.events + u64::from(scanner.line_bytes > 0),
        }
    }

    /// Bytes of those events, without what separates them.
    pub(super) fn event_bytes(&self) -> u64 {
        match self {
            Self::Json(scanner) => scanner.event_bytes,
            Self::Timed(scanner) => scanner.json.event_bytes,
            Self::Lines(scanner) => scanner.event_bytes + scanner.line_bytes,
        }
    }

    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Json(scanner) => scanner.ending(),
            Self::Timed(scanner) => scanner.json.ending(),
            Self::Lines(_) => Ending::Clean,
        }
    }
}

const BLOCK: usize = 64;

/// Where in the body the scanner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Between events: only white space, commas and array brackets are welcome.
    #[default]
    Between,
    /// In an event.
    Event,
    /// After something that is no event: the rest does not count.
    Lost,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JsonScanner {
    place: Place,
    /// Open braces.
    depth: u64,
    /// All ones if the next byte is in a string, else 0.
    in_string: u64,
    /// 1 if the next byte is escaped, else 0.
    escaped: u64,
    /// Bytes of the body before the present block.
    consumed: u64,
    event_start: u64,
    events: u64,
    event_bytes: u64,
}

impl JsonScanner {
    /// Calls `each` after each block.
    #[inline]
    fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(&Self)) {
        let (blocks, rest) = chunk.as_chunks::<BLOCK>();
        for block in blocks {
            self.block(block, BLOCK);
            each(self);
        }
        if !rest.is_empty() {
            // Spaces change nothing, in a string or outside.
            let mut block = [b' '; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            self.block(&block, rest.len());
            each(self);
        }
    }

    /// Takes a block of which so many bytes are the body's, the rest spaces.
    fn block(&mut self, block: &[u8; BLOCK], length: usize) {
        let quotes = mask(block, |byte| byte == b'"') & !self.escapes(block, length);
        let strings = prefix_xor(quotes) ^ self.in_string;
        self.in_string = if strings >> (BLOCK - 1) == 1 { u64::MAX } else { 0 };
        let braces = mask(block, |byte| byte == b'{' || byte == b'}') & !strings;
        self.braces(block, braces);
        self.consumed += length as u64;
    }

    /// The bytes of the block that follow an escaping backslash.
    fn escapes(&mut self, block: &[u8; BLOCK], length: usize) -> u64 {
        let mut escapes = std::mem::take(&mut self.escaped);
        let mut backslashes = mask(block, |byte| byte == b'\\');
        while backslashes != 0 {
            let at = backslashes.trailing_zeros() as usize;
            backslashes &= backslashes - 1;
            if escapes >> at & 1 == 1 {
                continue;
            }
            if at + 1 == length {
                self.escaped = 1;
            } else {
                escapes |= 1 << (at + 1);
            }
        }
        escapes
    }

    /// Follows the braces outside strings.
    fn braces(&mut self, block: &[u8; BLOCK], mut braces: u64) {
        let mut from = 0;
        loop {
            match self.place {
                Place::Between => match block[from..].iter().position(|byte| !separates(*byte)) {
                    None => return,
                    Some(gap) if block[from + gap] == b'{' => {
                        self.place = Place::Event;
                        self.event_start = self.consumed + (from + gap) as u64;
                    }
                    Some(_) => self.place = Place::Lost,
                },
                Place::Event if braces == 0 => return,
                Place::Event => {
                    let at = braces.trailing_zeros() as usize;
                    braces &= braces - 1;
                    from = at + 1;
                    if block[at] == b'{' {
                        self.depth += 1;
                        continue;
                    }
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.place = Place::Between;
                        self.events += 1;
                        self.event_bytes += self.consumed + from as u64 - self.event_start;
                    }
                }
                Place::Lost => return,
            }
        }
    }

    fn ending(&self) -> Ending {
        if self.place == Place::Between { Ending::Clean } else { Ending::Broken }
    }
}

/// Counts, and reads the time of one of each [`TIMED`] events, where it is the first member.
#[derive(Clone, Debug)]
pub(super) struct TimedScanner {
    json: JsonScanner,
    times: Vec<UnixNanos>,
    /// The event whose time is wanted; a later one will do.
    next: u64,
}

impl TimedScanner {
    fn feed(&mut self, chunk: &[u8]) {
        let Self { json, times, next } = self;
        let base = json.consumed;
        json.feed(chunk, |json| {
            if json.place != Place::Event || json.events < *next {
                return;
            }
            // One that began in an earlier chunk, or whose time the chunk cuts, is passed over.
            let start = json.event_start.checked_sub(base).and_then(|at| usize::try_from(at).ok());
            if let Some(time) = start.and_then(|at| time_of(chunk.get(at..)?)) {
                times.push(time);
                *next = json.events + TIMED;
            }
        });
    }
}

/// The time of an event that begins with it: seconds, with up to nine decimals.
fn time_of(event: &[u8]) -> Option<UnixNanos> {
    let text = event.strip_prefix(b"{\"time\":")?;
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
    let text = std::str::from_utf8(&text[..end]).ok()?;
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    let nanos: i64 = format!("{decimals:0<9}").get(..9)?.parse().ok()?;
    let seconds: i64 = seconds.parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos).map(UnixNanos)
}

fn separates(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']')
}

/// A bit for each byte that fits, the first byte's lowest.
fn mask(block: &[u8; BLOCK], fits: impl Fn(u8) -> bool) -> u64 {
    // A plain loop is compiled to vector instructions; `map` was measured not to be, unless all of
    // it was inlined. Leaving early when nothing fits undoes it as well.
    let mut flags = [0; BLOCK];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(fits(*byte));
    }
    let mut mask = 0;
    for (n, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // Gathers the lowest bits of eight bytes in the topmost byte.
        let bits = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (8 * n);
    }
    mask
}

/// Sets each bit to the parity of the bits up to and with it: ones from an opening quote up to
/// its closing one.
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// Counts lines that are not blank.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineScanner {
    /// Bytes of the unfinished line that are not line ends.
    line_bytes: u64,
    events: u64,
    event_bytes: u64,
}

impl LineScanner {
    fn feed(&mut self, chunk: &[u8]) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            self.take(&chunk[start..end]);
            self.events += u64::from(self.line_bytes > 0);
            self.event_bytes += std::mem::take(&mut self.line_bytes);
            start = end + 1;
        }
        self.take(&chunk[start..]);
    }

    fn take(&mut self, part: &[u8]) {
        let returns = memchr::memchr_iter(b'\r', part).count();
        self.line_bytes += (part.len() - returns) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_whatever_the_chunks_are() {
        let event = |n: u64| format!("{{\"time\":\"17000000{n:02}.25\",\"event\":{{\"time\":\"1.5\"}}}}\n");
        let body: String = (0..40).map(event).collect();
        for size in [40, 64, 100, 1000, 10_000] {
            let mut scanner = Scanner::timed(Endpoint::Event);
            body.as_bytes().chunks(size).for_each(|chunk| scanner.feed(chunk));
            assert_eq!((scanner.events(), scanner.ending()), (40, Ending::Clean));
            let times = scanner.times();
            assert!((1..=3).contains(&times.len()), "{times:?} in chunks of {size}");
            for time in times {
                let seconds = time.0 / 1_000_000_000 - 1_700_000_000;
                assert!((0..40).contains(&seconds) && time.0 % 1_000_000_000 == 250_000_000, "{time:?}");
            }
        }
    }

    #[test]
    fn only_a_whole_time_in_front_is_one() {
        for (event, expected) in [
            (r#"{"time":"1.5","event""#, Some(1_500_000_000)),
            (r#"{"time":1.000000001,"#, Some(1_000_000_001)),
            (r#"{"time":12}"#, Some(12_000_000_000)),
            (r#"{"time":"1.5"#, None),
            (r#"{"time":"soon","#, None),
            (r#"{"event":{"time":1,"#, None),
        ] {
            assert_eq!(time_of(event.as_bytes()), expected.map(UnixNanos), "{event}");
        }
    }
}
