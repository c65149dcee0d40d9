//! Loggregator v2: batches and envelopes, read in place.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::reader::Reader;
use crate::nozzle::wire::tags::{Name, Tags, entry};

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
    #[inline]
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

/// Field number of `tags`.
pub const TAGS: u32 = 9;
/// What stands before each of them.
const TAGS_KEY: &[u8; 1] = &[(TAGS << 3 | 2) as u8];
/// Field number of `deprecated_tags`.
pub const DEPRECATED_TAGS: u32 = 3;

/// An envelope with its message still undecoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envelope<'a> {
    /// Nanoseconds since the Unix epoch.
    pub timestamp: i64,
    /// The app's GUID, or the emitting job's name.
    pub source_id: &'a [u8],
    /// The app instance's index, or the VM's id.
    pub instance_id: &'a [u8],
    /// The tags with a meaning.
    pub tags: Tags<'a>,
    /// What it carries.
    pub message: Message<'a>,
    /// Whether there are deprecated tags, which are not in `tags`: see
    /// [`deprecated::to_tags`](crate::nozzle::wire::deprecated::to_tags).
    pub has_deprecated_tags: bool,
    /// All of the envelope, for a second pass over its tags.
    pub bytes: &'a [u8],
}

/// What an envelope carries, as the bytes of that message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Message<'a> {
    /// None: legal, and empty.
    #[default]
    None,
    /// A log line; see [`Log`].
    Log(&'a [u8]),
    /// A counter; see [`Counter`].
    Counter(&'a [u8]),
    /// One or more metrics; see [`Metrics`].
    Gauge(&'a [u8]),
    /// A span of time; see [`Timer`].
    Timer(&'a [u8]),
    /// Something that happened on the platform; see [`Event`].
    Event(&'a [u8]),
}

impl<'a> Envelope<'a> {
    /// Reads an envelope, in place.
    ///
    /// # Errors
    /// The kind of damage.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut envelope = Self::default();
        envelope.read(bytes)?;
        Ok(envelope)
    }

    /// The same where the envelope is to be: it is large, and would be copied on its way out.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse). What is in the envelope then means nothing.
    #[inline]
    pub fn read(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        *self = Self { bytes, ..Self::default() };
        let mut reader = Reader::new(bytes);
        loop {
            reader.usual_entries(TAGS_KEY, |key, value| self.tags.insert(key, value));
            let Some((number, value)) = reader.next_field()? else { return Ok(()) };
            match number {
                TAGS => {
                    let (key, value) = entry(value.bytes()?)?;
                    self.tags.insert(Name::starting(key, key.len()), value);
                }
                DEPRECATED_TAGS => self.has_deprecated_tags = true,
                1 => self.timestamp = value.int64()?,
                2 => self.source_id = value.bytes()?,
                8 => self.instance_id = value.bytes()?,
                4 => self.message = Message::Log(value.bytes()?),
                5 => self.message = Message::Counter(value.bytes()?),
                6 => self.message = Message::Gauge(value.bytes()?),
                7 => self.message = Message::Timer(value.bytes()?),
                10 => self.message = Message::Event(value.bytes()?),
                _ => {}
            }
        }
    }
}

/// A log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log<'a> {
    /// The line's bytes; not always UTF-8, may be empty.
    pub payload: &'a [u8],
    /// 0 is OUT; anything else counts as ERR, as in the platform's own conversion.
    pub kind: i32,
}

impl<'a> Log<'a> {
    /// Reads a log message.
    ///
    /// # Errors
    /// The kind of damage.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut log = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match number {
                1 => log.payload = value.bytes()?,
                2 => log.kind = value.int32()?,
                _ => {}
            }
        }
        Ok(log)
    }
}

/// A counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The increase since the last report.
    pub delta: u64,
    /// The sum so far.
    pub total: u64,
}

impl<'a> Counter<'a> {
    /// Reads a counter message.
    ///
    /// # Errors
    /// The kind of damage.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut counter = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match number {
                1 => counter.name = value.bytes()?,
                2 => counter.delta = value.varint()?,
                3 => counter.total = value.varint()?,
                _ => {}
            }
        }
        Ok(counter)
    }
}

/// One metric of a gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metric<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its unit.
    pub unit: &'a [u8],
    /// Its value; may be NaN or infinite.
    pub value: f64,
}

/// The metrics of a gauge, for one or more passes over them.
#[derive(Clone, Copy, Debug)]
pub struct Metrics<'a> {
    bytes: &'a [u8],
    /// Whether a name may be there twice: then the last counts, as in a map.
    repeats: bool,
}

impl<'a> Metrics<'a> {
    /// Takes a gauge message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, repeats: false }
    }

    /// The same, when a name was seen that may have come before.
    #[must_use]
    pub fn with_repeats(self, repeats: bool) -> Self {
        Self { repeats, ..self }
    }

    /// Calls `each` for every metric, in the envelope's order.
    ///
    /// # Errors
    /// The kind of damage. The next pass finds the same.
    #[inline]
    pub fn for_each(&self, each: impl FnMut(Metric<'a>)) -> Result<(), Malformed> {
        if self.repeats {
            return self.for_last_of_each(each);
        }
        self.pass(each)
    }

    /// The slow way: of two metrics with one name the last counts.
    #[cold]
    fn for_last_of_each(&self, mut each: impl FnMut(Metric<'a>)) -> Result<(), Malformed> {
        let mut last = HashMap::<&[u8], usize, RandomState>::default();
        let mut at = 0;
        self.pass(|metric| {
            last.insert(metric.name, at);
            at += 1;
        })?;
        at = 0;
        self.pass(|metric| {
            if last.get(metric.name) == Some(&at) {
                each(metric);
            }
            at += 1;
        })
    }

    #[inline]
    fn pass(&self, mut each: impl FnMut(Metric<'a>)) -> Result<(), Malformed> {
        let mut reader = Reader::new(self.bytes);
        while let Some((number, value)) = reader.next_field()? {
            if number != 1 {
                continue;
            }
            let (name, value) = entry(value.bytes()?)?;
            let mut metric = Metric { name, ..Metric::default() };
            let mut reader = Reader::new(value);
            while let Some((number, value)) = reader.next_field()? {
                match number {
                    1 => metric.unit = value.bytes()?,
                    2 => metric.value = value.double()?,
                    _ => {}
                }
            }
            each(metric);
        }
        Ok(())
    }
}

/// A span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer<'a> {
    /// Its name; `http` for requests.
    pub name: &'a [u8],
    /// Nanoseconds since the Unix epoch.
    pub start: i64,
    /// Nanoseconds since the Unix epoch.
    pub stop: i64,
}

impl<'a> Timer<'a> {
    /// Reads a timer message.
    ///
    /// # Errors
    /// The kind of damage.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut timer = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match number {
                1 => timer.name = value.bytes()?,
                2 => timer.start = value.int64()?,
                3 => timer.stop = value.int64()?,
                _ => {}
            }
        }
        Ok(timer)
    }
}

/// Something that happened on the platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened.
    pub title: &'a [u8],
    /// The details.
    pub body: &'a [u8],
}

impl<'a> Event<'a> {
    /// Reads an event message.
    ///
    /// # Errors
    /// The kind of damage.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut event = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match number {
                1 => event.title = value.bytes()?,
                2 => event.body = value.bytes()?,
                _ => {}
            }
        }
        Ok(event)
    }
}
