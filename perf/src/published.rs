//! What others measured: the Go nozzle's published sizing table, and that nozzle on the reference machine of
//! [`crate::floor`]. Not results of this program.

use crate::lines::{Form, Lines};

/// A row of the published table.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Form and size of the events.
    pub lines: Lines,
    /// Events per second.
    pub events_per_second: f64,
    /// Published as "Mbps"; by its own arithmetic megabytes per second.
    pub megabytes_per_second: f64,
    /// Of one CPU.
    pub cpu_percent: f64,
    /// Of the process.
    pub memory_mb: f64,
}

const fn lines(form: Form, bytes: usize) -> Lines {
    Lines { form, bytes }
}

const fn published(lines: Lines, events: f64, megabytes: f64, cpu: f64, memory: f64) -> Figures {
    Figures {
        lines,
        events_per_second: events,
        megabytes_per_second: megabytes,
        cpu_percent: cpu,
        memory_mb: memory,
    }
}

/// The published table.
pub const PUBLISHED: [Figures; 4] = [
    published(lines(Form::Json, 256), 9_444.0, 7.30, 530.6, 57.2),
    published(lines(Form::Json, 1024), 6_775.0, 10.90, 567.9, 79.9),
    published(lines(Form::Text, 256), 11_189.0, 9.10, 502.3, 58.3),
    published(lines(Form::Text, 1024), 9_487.0, 16.03, 491.5, 82.8),
];

/// CPU time per event of the Go nozzle 1.4.3 with v1, without TLS and gzip, measured as this
/// program does, on the reference machine.
#[derive(Clone, Copy, Debug)]
pub struct Go {
    /// Form and size of the events.
    pub lines: Lines,
    /// With its defaults.
    pub default_micros: f64,
    /// At its best.
    pub tuned_micros: f64,
}

/// The Go nozzle's own figures.
pub const GO: [Go; 4] = [
    Go { lines: lines(Form::Json, 256), default_micros: 22.6, tuned_micros: 16.6 },
    Go { lines: lines(Form::Json, 1024), default_micros: 30.7, tuned_micros: 17.5 },
    Go { lines: lines(Form::Text, 256), default_micros: 22.9, tuned_micros: 12.9 },
    Go { lines: lines(Form::Text, 1024), default_micros: 27.6, tuned_micros: 15.6 },
];
