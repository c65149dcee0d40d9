//! Logs, metrics, counters, errors, containers.

use super::read;
use crate::nozzle::ledger::Malformed;

/// A log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMessage<'a> {
    /// The line's bytes; not always UTF-8.
    pub message: &'a [u8],
    /// 1 is OUT, 2 is ERR.
    pub message_type: i32,
    /// Nanoseconds since the Unix epoch.
    pub timestamp: i64,
    /// The app's GUID.
    pub app_id: &'a [u8],
    /// What part of the platform or app wrote the line.
    pub source_type: &'a [u8],
    /// The app instance's index.
    pub source_instance: &'a [u8],
}

impl<'a> LogMessage<'a> {
    /// Reads a log message.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut log = Self::default();
        read(bytes, &[1, 2, 3], |number, value| {
            match number {
                1 => log.message = value.bytes()?,
                2 => log.message_type = value.int32()?,
                3 => log.timestamp = value.int64()?,
                4 => log.app_id = value.bytes()?,
                5 => log.source_type = value.bytes()?,
                6 => log.source_instance = value.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(log)
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ValueMetric<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value; may be NaN or infinite.
    pub value: f64,
    /// Its unit.
    pub unit: &'a [u8],
}

impl<'a> ValueMetric<'a> {
    /// Reads a metric.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut metric = Self::default();
        read(bytes, &[1, 2, 3], |number, value| {
            match number {
                1 => metric.name = value.bytes()?,
                2 => metric.value = value.double()?,
                3 => metric.unit = value.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(metric)
    }
}

/// A counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterEvent<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The increase since the last report.
    pub delta: u64,
    /// The sum so far; 0 if absent.
    pub total: u64,
}

impl<'a> CounterEvent<'a> {
    /// Reads a counter.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut counter = Self::default();
        read(bytes, &[1, 2], |number, value| {
            match number {
                1 => counter.name = value.bytes()?,
                2 => counter.delta = value.varint()?,
                3 => counter.total = value.varint()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(counter)
    }
}

/// An app instance's use of resources.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ContainerMetric<'a> {
    /// The app's GUID.
    pub app_id: &'a [u8],
    /// The app instance's index.
    pub instance_index: i32,
    /// Of one core, in per cent.
    pub cpu_percentage: f64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
    /// The most memory allowed, in bytes; 0 if absent.
    pub memory_bytes_quota: u64,
    /// The most disk allowed, in bytes; 0 if absent.
    pub disk_bytes_quota: u64,
}

impl<'a> ContainerMetric<'a> {
    /// Reads a container's metrics.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut container = Self::default();
        read(bytes, &[1, 2, 3, 4, 5], |number, value| {
            match number {
                1 => container.app_id = value.bytes()?,
                2 => container.instance_index = value.int32()?,
                3 => container.cpu_percentage = value.double()?,
                4 => container.memory_bytes = value.varint()?,
                5 => container.disk_bytes = value.varint()?,
                6 => container.memory_bytes_quota = value.varint()?,
                7 => container.disk_bytes_quota = value.varint()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(container)
    }
}

/// An error of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Error<'a> {
    /// The component.
    pub source: &'a [u8],
    /// Its code.
    pub code: i32,
    /// What it said; not always UTF-8.
    pub message: &'a [u8],
}

impl<'a> Error<'a> {
    /// Reads an error.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut error = Self::default();
        read(bytes, &[1, 2, 3], |number, value| {
            match number {
                1 => error.source = value.bytes()?,
                2 => error.code = value.int32()?,
                3 => error.message = value.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(error)
    }
}
