//! Log lines: JSON where a machine reads them, text on a terminal.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

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

/// Starts logging for the whole process; does nothing if that has been done.
///
/// `level` is a level or a filter by module; what cannot be read counts as `info`.
pub fn init(format: LogFormat, level: &str, target: LogTarget) {
    let (writer, terminal) = match target {
        LogTarget::Stdout => (BoxMakeWriter::new(std::io::stdout), std::io::stdout().is_terminal()),
        LogTarget::Stderr => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
    };
    init_with(format, level, writer, terminal);
}

/// As [`init`], to any writer; `terminal` says whether a person reads it.
pub fn init_with(format: LogFormat, level: &str, writer: BoxMakeWriter, terminal: bool) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    let text = format == LogFormat::Text || format == LogFormat::Auto && terminal;
    // An error says that logging has been started before, as in tests.
    let _ = if text {
        builder.with_ansi(terminal).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
}
