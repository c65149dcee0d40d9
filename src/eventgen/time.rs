//! Calendar time: zones, and times as conf files write them.

use jiff::tz::TimeZone;

use crate::clock::UnixNanos;

/// The zone a sample's wall clock is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(pub TimeZone);

/// A time as a conf file writes it: `now`, `-1h@h+5m`, `2024-01-15 12:00:00`.
#[derive(Clone, Debug, PartialEq)]
pub enum Moment {
    /// When it is asked for.
    Now,
    /// An instant.
    At(UnixNanos),
}
