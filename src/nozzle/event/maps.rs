//! The two maps of an envelope, gone through where they stand.

use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::reader::Reader;
use crate::nozzle::wire::tags::{Key, KeySet, entry, known};
use crate::nozzle::wire::{gateway, v2};

/// The metrics of a gauge.
#[derive(Clone, Copy, Debug)]
pub enum Metrics<'a> {
    /// From protobuf.
    Protobuf(v2::Metrics<'a>),
    /// From the gateway's JSON.
    Json(gateway::Metrics<'a>),
}

impl Metrics<'_> {
    /// The same, when a name was seen that may have come before.
    #[must_use]
    pub(super) fn with_repeats(self, repeats: bool) -> Self {
        match self {
            Self::Protobuf(metrics) => Self::Protobuf(metrics.with_repeats(repeats)),
            // Found out when it was read.
            Self::Json(_) => self,
        }
    }

    /// Calls `each` for every metric, once for each name.
    ///
    /// # Errors
    /// The kind of damage. In an [`Event`](super::Event) there is none: its metrics were read when it was made.
    #[inline]
    pub fn for_each(&self, each: impl FnMut(v2::Metric<'_>)) -> Result<(), Malformed> {
        match self {
            Self::Protobuf(metrics) => metrics.for_each(each),
            Self::Json(metrics) => {
                metrics.for_each(each);
                Ok(())
            }
        }
    }
}

/// The tags of an envelope that are shown under `tags`, for a pass over them when wanted.
#[derive(Clone, Copy, Debug)]
pub struct TagList<'a> {
    pub(super) all: AllTags<'a>,
    /// Tags that stand elsewhere in the event.
    pub(super) hidden: KeySet,
    /// Shown as a tag, unless empty.
    pub(super) source_id: &'a [u8],
    /// Shown as a tag, unless empty.
    pub(super) instance_id: &'a [u8],
}

/// All tags of an envelope, as they came.
#[derive(Clone, Copy, Debug)]
pub(super) enum AllTags<'a> {
    /// Entries of this field.
    Protobuf { envelope: &'a [u8], field: u32 },
    /// Members of an object.
    Json(gateway::TagMap<'a>),
}

impl TagList<'_> {
    /// Calls `each` for every tag that is shown, in the envelope's order; a key may come twice.
    pub fn for_each(&self, mut each: impl FnMut(&[u8], &[u8])) {
        let shown = |key: &[u8], value: &[u8]| {
            if !known(key).is_some_and(|key| self.hides(key)) {
                each(key, value);
            }
        };
        match self.all {
            AllTags::Protobuf { envelope, field } => for_each_entry(envelope, field, shown),
            AllTags::Json(tags) => tags.for_each(shown),
        }
        if !self.source_id.is_empty() {
            each(Key::SourceId.name().as_bytes(), self.source_id);
        }
        if !self.instance_id.is_empty() {
            each(Key::InstanceId.name().as_bytes(), self.instance_id);
        }
    }

    fn hides(&self, key: Key) -> bool {
        self.hidden.contains(key)
            || key == Key::SourceId && !self.source_id.is_empty()
            || key == Key::InstanceId && !self.instance_id.is_empty()
    }
}

#[inline]
fn for_each_entry(envelope: &[u8], field: u32, mut each: impl FnMut(&[u8], &[u8])) {
    let mut reader = Reader::new(envelope);
    // The envelope was read whole before, so there is nothing malformed to stop at.
    while let Ok(Some((number, value))) = reader.next_field() {
        if number == field
            && let Ok((key, value)) = value.bytes().and_then(entry)
        {
            each(key, value);
        }
    }
}
