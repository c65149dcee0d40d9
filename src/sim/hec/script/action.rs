//! What can go wrong with a request.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};

use crate::sim::hec::profile::Prefix;
use crate::sim::hec::reply::Reply;

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Answers this in place of the real answer; the body is read, nothing is indexed.
    Answer(Reply),
    /// Judges and indexes as ever, then answers this instead.
    AnswerAfterIndex(Reply),
    /// Answers 415 and HTML to compressed bodies, as a server that knows no gzip.
    RefuseGzip,
    /// Waits.
    Delay(Stage, Duration),
    /// Never goes on.
    Hang(Stage),
    /// Breaks the connection.
    Cut(CutPoint, Cut),
    /// Lets bytes pass slowly. The answer's head goes out at once, only its body drips.
    Drip(Direction, BytesPerSecond),
    /// Closes the connection in good order, with a header saying so, after its `n`th request.
    CloseAfter(u64),
    /// Answers code 9 from the event of this number on.
    BusyAfter {
        /// Events taken before the queue blocks.
        events: u64,
        /// Whether those are indexed.
        prefix: Prefix,
    },
    /// Interferes with acknowledgement.
    Ack(AckFault),
    /// Adds a header to the real answer.
    Header(HeaderName, HeaderValue),
    /// Sets a load balancer's cookie.
    SetCookie {
        /// The cookie's name.
        name: String,
        /// Its value.
        value: CookieValue,
    },
}

impl Action {
    /// Breaks the connection with a reset.
    pub fn reset(point: CutPoint) -> Self {
        Self::Cut(point, Cut::Reset)
    }

    /// Ends the connection in good order with this answer.
    pub fn connection_close() -> Self {
        Self::Header(http::header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// Redirects with 302.
    pub fn redirect(location: &str) -> Self {
        Self::Answer(Reply::redirect(StatusCode::FOUND, location))
    }
}

/// Where in an exchange something happens that can happen twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The head is read, the body is not.
    BeforeRead,
    /// The events are indexed, the answer is not sent.
    AfterIndex,
}

/// Where in an exchange the connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutPoint {
    /// The head is read, the body is not; nothing is indexed.
    BeforeRead,
    /// Half the body is read, going by its length; nothing is indexed.
    MidBody,
    /// All is indexed, nothing answered.
    AfterIndex,
    /// The answer's head and half its body are sent.
    MidReply,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// With a TCP reset.
    Reset,
    /// By closing the socket. Where the peer's bytes lie unread this is a reset too.
    Close,
}

/// Which bytes drip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The request's body.
    Read,
    /// The answer's body.
    Reply,
}

/// A rate; 0 counts as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BytesPerSecond(pub u32);

/// What may go wrong with acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckFault {
    /// Ids given out never read `true`.
    Never,
    /// Ids given out read `true` this long after, whatever the server's own delay.
    Delay(Duration),
    /// A poll is carried out, with what it consumes, and the connection reset before the answer.
    LoseReply,
    /// A poll reaches a server that knows none of the ids.
    WrongServer,
    /// The channel's ids count from 0 again before this request.
    RestartIds,
}

/// The value of a load balancer's cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CookieValue {
    /// The same every time.
    Fixed(String),
    /// Another one every time.
    Rotating,
}
