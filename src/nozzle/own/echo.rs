//! The nozzle's own output when it comes back as log lines of its app.
//!
//! The platform makes log lines of what an app prints, and the firehose brings them here. In general that is
//! welcome: they are in Splunk where one looks for an app's lines. But where one line of them causes more
//! than one further line (each delivery fails and is logged, or DEBUG prints bodies) they would
//! grow without end, so only so many a second pass.

use std::time::Duration;

use tokio::time::Instant;

use super::rate::Rate;
use crate::nozzle::event::{Body, Event};

/// How many of these lines pass a second, and at once. A nozzle in trouble logs a few lines a minute.
pub const ECHO_PER_SECOND: u32 = 10;
/// See [`ECHO_PER_SECOND`].
pub const ECHO_BURST: u32 = 200;

/// The app this nozzle is, and how many of its lines may pass. Shared by all workers.
#[derive(Debug)]
pub struct Echo {
    guid: Box<[u8]>,
    /// The beginning of `guid`: nearly all others differ in it.
    start: [u8; 8],
    rate: Rate,
}

impl Echo {
    /// For the app of this GUID; `None` if that cannot be one.
    pub fn new(guid: &str) -> Option<Self> {
        let start = *guid.as_bytes().first_chunk()?;
        Some(Self {
            guid: guid.as_bytes().into(),
            start,
            rate: Rate::new(ECHO_PER_SECOND, Duration::from_secs(1), ECHO_BURST),
        })
    }

    /// Whether this is a log line of the nozzle's own app that is too much.
    #[inline]
    pub fn is_flood(&self, event: &Event<'_>, now: Instant) -> bool {
        let app = event.app.text();
        app.first_chunk() == Some(&self.start) && self.is_own_line(app, event) && !self.rate.allows(now)
    }

    #[cold]
    fn is_own_line(&self, app: &[u8], event: &Event<'_>) -> bool {
        *app == *self.guid && matches!(event.body, Body::Log { .. })
    }
}
