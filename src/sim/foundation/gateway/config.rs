//! How a gateway behaves: its timers, its JSON, its event stream.

use std::time::Duration;

/// How a gateway behaves. The defaults are the platform's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Without data for this long, a heartbeat is sent.
    pub heartbeat_interval: Duration,
    /// A stream is closed after this, busy or not.
    pub stream_lifetime: Duration,
    /// How envelopes are spelled.
    pub json: JsonStyle,
    /// How streams write when they open; [`super::Fault::Form`] changes it.
    pub form: StreamForm,
    /// Which versions of HTTP are offered over TLS.
    pub http: HttpVersions,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(15),
            stream_lifetime: Duration::from_secs(14 * 60),
            json: JsonStyle::default(),
            form: StreamForm::default(),
            http: HttpVersions::default(),
        }
    }
}

/// Which versions of HTTP a server offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersions {
    /// HTTP/2 and HTTP/1.1.
    #[default]
    Both,
    /// HTTP/1.1, as the platform's routers do unless told otherwise.
    One,
}

impl HttpVersions {
    pub(in crate::sim::foundation) fn alpn(self) -> &'static [&'static str] {
        match self {
            Self::Both => &["h2", "http/1.1"],
            Self::One => &["http/1.1"],
        }
    }
}

/// How an envelope is spelled in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonStyle {
    /// Which generation of the platform's encoder writes.
    pub spelling: Spelling,
    /// What stands after a comma: one build of an encoder does it this way, another that way.
    pub spacing: Spacing,
}

/// Which generation of the platform's encoder writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// `source_id`; zero values are written.
    #[default]
    Current,
    /// `sourceId`; zero values are left out, and `<`, `>`, `&` and the Unicode line ends escaped.
    Older,
}

/// What stands after a comma.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spacing {
    /// A space.
    #[default]
    Spaced,
    /// Nothing.
    Compact,
}

impl Spacing {
    pub(super) fn comma(self) -> &'static [u8] {
        match self {
            Self::Spaced => b", ",
            Self::Compact => b",",
        }
    }
}

/// How a stream writes its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamForm {
    /// What ends a line.
    pub line_end: LineEnd,
    /// What is written at once.
    pub chunks: Chunks,
}

/// What ends a line of an event stream. The platform writes line feeds; all three are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnd {
    /// A line feed.
    #[default]
    Lf,
    /// A carriage return.
    Cr,
    /// Both.
    CrLf,
}

impl LineEnd {
    pub(super) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::Cr => b"\r",
            Self::CrLf => b"\r\n",
        }
    }
}

/// What is written at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chunks {
    /// A whole event.
    #[default]
    Events,
    /// Pieces of random sizes, from one byte up: a line breaks anywhere.
    Random {
        /// From one piece to the next.
        pause: Duration,
    },
}
