//! Log lines: JSON where a machine reads them, text on a terminal.

mod json;

use std::io::IsTerminal as _;

use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use self::json::{Fields, JsonLines};

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// Text.
    Text,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output, as the platform expects of an app.
    Stdout,
    /// Standard error, where standard output is for a person or another program.
    Stderr,
}

/// Something else that gets every line of the log.
pub type Tap = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging for the whole process; does nothing if that has been done.
///
/// `level` is a level or a filter by module; what cannot be read counts as `info`.
pub fn init(format: LogFormat, level: &str, target: LogTarget, tap: Option<Tap>) {
    let (writer, terminal) = match target {
        LogTarget::Stdout => (BoxMakeWriter::new(std::io::stdout), std::io::stdout().is_terminal()),
        LogTarget::Stderr => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
    };
    init_with(format, level, writer, terminal, tap);
}

/// As [`init`], to any writer; `terminal` says whether a person reads it.
pub fn init_with(format: LogFormat, level: &str, writer: BoxMakeWriter, terminal: bool, tap: Option<Tap>) {
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false).with_ansi(terminal);
    let text = format == LogFormat::Text || format == LogFormat::Auto && terminal;
    let lines: Tap = if text { lines.boxed() } else { lines.event_format(JsonLines).boxed() };
    let layers: Vec<Tap> = tap.into_iter().chain([lines]).collect();
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    // An error says that logging has been started before, as in tests.
    let _ = tracing_subscriber::registry().with(layers).with(filter).try_init();
}
