//! The RLP gateway's JSON: batches and envelopes, read in place.
//!
//! A frame is the text of one batch, `{"batch":[…]}`. It is read in one pass, borrowing: a string
//! without a backslash is the same bytes in JSON as anywhere else, so it stays a slice of the
//! frame. What differs, payloads in base64 and the few strings with escapes, is decoded into the
//! worker's [`Scratch`]. Whoever reads an envelope therefore sees plain bytes, as from v2.
//!
//! Everything a gateway has ever written is read: names in snake_case and camelCase, members in
//! any order or left out, white space anywhere, integers as text or as numbers. Members that are not
//! known are skipped, those that are null are as if they were not there, and of two with one name
//! the last counts. The members of a batch do not affect each other: a malformed envelope costs that
//! envelope, as long as it can be told where the next one starts.

mod batch;
mod deprecated;
mod metrics;
mod reader;
mod scratch;
#[cfg(test)]
mod tests;

pub use self::batch::{Batch, count_envelopes};
pub use self::deprecated::to_tags;
pub use self::metrics::Metrics;
use self::reader::Reader;
use self::scratch::Room;
pub use self::scratch::Scratch;
use crate::nozzle::json::Cursor;
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::tags::{Name, Tags};
use crate::nozzle::wire::v2;

/// An envelope.
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
    /// All tags.
    pub all_tags: TagMap<'a>,
    /// What it carries.
    pub message: Message<'a>,
    /// Whether there are deprecated tags, which are not in `tags`: see [`to_tags`].
    pub has_deprecated_tags: bool,
    /// Its text.
    pub text: &'a [u8],
}

/// What an envelope carries.
#[derive(Clone, Copy, Debug, Default)]
pub enum Message<'a> {
    /// None: legal, and empty.
    #[default]
    None,
    /// A log line.
    Log(v2::Log<'a>),
    /// A counter.
    Counter(v2::Counter<'a>),
    /// One or more metrics.
    Gauge(Metrics<'a>),
    /// A span of time.
    Timer(v2::Timer<'a>),
    /// Something that happened on the platform.
    Event(v2::Event<'a>),
}

impl<'a> Envelope<'a> {
    /// Reads the text of one envelope.
    ///
    /// # Errors
    /// The kind of damage.
    pub fn parse(text: &'a [u8], scratch: &'a mut Scratch) -> Result<Self, Malformed> {
        if std::str::from_utf8(text).is_err() {
            return Err(Malformed::Frame);
        }
        let mut reader = Reader::new(Cursor::new(text));
        let envelope = Self::read(&mut reader, &mut scratch.room(text.len()))?;
        reader.end()?;
        Ok(envelope)
    }

    /// Reads the envelope that starts here, in text that is UTF-8.
    #[inline]
    fn read(reader: &mut Reader<'a>, room: &mut Room<'a>) -> Result<Self, Malformed> {
        let mut envelope = Self::default();
        let start = reader.start();
        if !reader.null()? {
            reader.object(|reader, name| envelope.member(name, reader, room))?;
        }
        envelope.text = reader.since(start);
        Ok(envelope)
    }

    #[inline]
    fn member(&mut self, name: &[u8], reader: &mut Reader<'a>, room: &mut Room<'a>) -> Result<(), Malformed> {
        match name {
            b"timestamp" => self.timestamp = reader.int64()?,
            b"source_id" | b"sourceId" => self.source_id = room.text(reader.string()?)?,
            b"instance_id" | b"instanceId" => self.instance_id = room.text(reader.string()?)?,
            b"tags" => self.tags(reader, room)?,
            b"deprecated_tags" | b"deprecatedTags" => {
                reader.object(|reader, _| {
                    self.has_deprecated_tags = true;
                    reader.skip()
                })?;
            }
            b"log" => self.message = Message::Log(log(reader, room)?),
            b"counter" => self.message = Message::Counter(counter(reader, room)?),
            b"gauge" => self.message = Message::Gauge(Metrics::read(reader)?),
            b"timer" => self.message = Message::Timer(timer(reader, room)?),
            b"event" => self.message = Message::Event(event(reader, room)?),
            _ => reader.skip()?,
        }
        Ok(())
    }

    #[inline]
    fn tags(&mut self, reader: &mut Reader<'a>, room: &mut Room<'a>) -> Result<(), Malformed> {
        if !self.all_tags.text.is_empty() {
            self.tags = Tags::default();
        }
        let start = reader.start();
        reader.strings(|member| {
            let key = Name::starting(member.from_key, member.key_length);
            self.tags.insert(key, room.text(member.value)?);
            Ok(())
        })?;
        self.all_tags = TagMap { text: reader.since(start) };
        Ok(())
    }
}

fn log<'a>(reader: &mut Reader<'a>, room: &mut Room<'a>) -> Result<v2::Log<'a>, Malformed> {
    let mut log = v2::Log::default();
    reader.object(|reader, name| {
        match name {
            b"payload" => log.payload = reader.base64(|string| room.base64(string))?,
            b"type" => log.kind = reader.log_type()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(log)
}

fn counter<'a>(reader: &mut Reader<'a>, room: &mut Room<'a>) -> Result<v2::Counter<'a>, Malformed> {
    let mut counter = v2::Counter::default();
    reader.object(|reader, name| {
        match name {
            b"name" => counter.name = room.text(reader.string()?)?,
            b"delta" => counter.delta = reader.uint64()?,
            b"total" => counter.total = reader.uint64()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(counter)
}

fn timer<'a>(reader: &mut Reader<'a>, room: &mut Room<'a>) -> Result<v2::Timer<'a>, Malformed> {
    let mut timer = v2::Timer::default();
    reader.object(|reader, name| {
        match name {
            b"name" => timer.name = room.text(reader.string()?)?,
            b"start" => timer.start = reader.int64()?,
            b"stop" => timer.stop = reader.int64()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(timer)
}

fn event<'a>(reader: &mut Reader<'a>, room: &mut Room<'a>) -> Result<v2::Event<'a>, Malformed> {
    let mut event = v2::Event::default();
    reader.object(|reader, name| {
        match name {
            b"title" => event.title = room.text(reader.string()?)?,
            b"body" => event.body = room.text(reader.string()?)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(event)
}

/// The tags of an envelope, for a second pass over all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct TagMap<'a> {
    text: &'a [u8],
}

impl TagMap<'_> {
    /// Calls `each` for every tag, in the envelope's order; a key may come twice.
    pub fn for_each(&self, mut each: impl FnMut(&[u8], &[u8])) {
        let mut reader = Reader::new(Cursor::new(self.text));
        // The map was read whole before, so there is nothing malformed to stop at.
        let _ = reader.strings(|member| {
            each(member.key(), &member.value.text());
            Ok(())
        });
    }
}
