//! The metrics of a gauge.

use std::collections::BTreeMap;

use crate::nozzle::json::Cursor;
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::gateway::reader::Reader;
use crate::nozzle::wire::v2::Metric;

/// The metrics of a gauge, read whole once, for further passes over them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metrics<'a> {
    text: &'a [u8],
    /// Whether a name may be there twice: gateways sort them, so this is never seen.
    unordered: bool,
}

impl<'a> Metrics<'a> {
    /// Reads a gauge.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut metrics = Self::default();
        reader.object(|reader, name| {
            if name != b"metrics" {
                return reader.skip();
            }
            let start = reader.start();
            let (mut last, mut unordered): (Option<&[u8]>, _) = (None, false);
            read_map(reader, |raw, escaped, _| {
                unordered |= escaped || last.is_some_and(|last| last >= raw);
                last = Some(raw);
            })?;
            metrics = Self { text: reader.since(start), unordered };
            Ok(())
        })?;
        Ok(metrics)
    }

    /// Calls `each` for every metric.
    pub fn for_each(&self, mut each: impl FnMut(Metric<'_>)) {
        if self.unordered {
            return self.for_last_of_each(each);
        }
        self.pass(|_, _, metric| each(metric));
    }

    /// The slow way: of two metrics with one name the last counts.
    #[cold]
    fn for_last_of_each(&self, mut each: impl FnMut(Metric<'_>)) {
        let mut metrics = BTreeMap::new();
        self.pass(|_, _, metric| {
            metrics.insert(metric.name.to_vec(), (metric.unit.to_vec(), metric.value));
        });
        for (name, (unit, value)) in &metrics {
            each(Metric { name, unit, value: *value });
        }
    }

    fn pass(&self, each: impl FnMut(&'a [u8], bool, Metric<'_>)) {
        if !self.text.is_empty() {
            // It was read whole before, so there is nothing malformed to stop at.
            let _ = read_map(&mut Reader::new(Cursor::new(self.text)), each);
        }
    }
}

/// Calls `each` for every metric, with its name as it is written and whether that has escapes.
fn read_map<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&'a [u8], bool, Metric<'_>),
) -> Result<(), Malformed> {
    reader.members(|reader, name| {
        let (mut unit, mut value) = (None, 0.0);
        reader.object(|reader, name| {
            match name {
                b"unit" => unit = Some(reader.string()?),
                b"value" => value = reader.double()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let unit = unit.map(|unit| unit.text()).unwrap_or_default();
        each(name.raw, name.escaped, Metric { name: &name.text(), unit: &unit, value });
        Ok(())
    })
}
