//! The RLP gateway: one `GET /v2/read` whose body is a stream of server-sent events, each a batch
//! of envelopes as JSON.
//!
//! Events are handed on undecoded. One connection carries one stream. The gateway writes a
//! heartbeat after 15 s of silence, ends each stream at 14 minutes (see
//! `renewal`), and answers 404 to whatever token it cannot accept.

mod answer;
mod body;
mod request;
pub mod sse;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use url::Url;

use self::answer::Answer;
use self::body::Body;
use self::request::Target;
use self::sse::{Event, Reader};
use super::Platform;
use super::dial::{WireLog, dial};
use super::end::End;
use super::group::{Fill, Gatherer, Group, GroupLimits, Unit};
use super::selectors::Wanted;
use crate::causes::chain;
use crate::nozzle::cf::root::RootError;
use crate::nozzle::cf::token::TokenSource;

const GROUP: GroupLimits = GroupLimits { frames: 256, bytes: 1024 * 1024 };

/// The better one first; the server decides.
const PROTOCOLS: &[&str] = &["h2", "http/1.1"];

/// Opens streams of a gateway.
#[derive(Debug)]
pub(super) struct Connector {
    platform: Platform,
    query: String,
}

impl Connector {
    pub(super) fn new(platform: Platform, wanted: &Wanted) -> Self {
        Self { platform, query: wanted.gateway_query() }
    }

    /// Opens a stream. A refused token is replaced once, at once.
    ///
    /// # Errors
    /// Finding the gateway, the token, the connection, TLS, or the gateway's refusal.
    pub(super) async fn connect(&self) -> Result<Session, End> {
        let discovery = |error: RootError| End::Discovery(chain(&error));
        let foundation = &self.platform.foundation;
        let url = foundation.root().await.map_err(discovery)?.log_stream.as_ref().ok_or(End::NoGateway)?;
        let target = Target::new(url, &self.query)?;
        let tokens = foundation.tokens().await.map_err(discovery)?;
        let mut answer = self.ask(url, &target, tokens).await?;
        if matches!(answer, Answer::TokenRefused(_)) {
            answer = self.ask(url, &target, tokens).await?;
        }
        match answer {
            Answer::Open(body, log) => Ok(Session::new(body, log)),
            Answer::TokenRefused(end) | Answer::Refused(end) => Err(end),
        }
    }

    /// Asks once; the next time with another token, if this one is refused.
    async fn ask(&self, url: &Url, target: &Target, tokens: &TokenSource) -> Result<Answer, End> {
        let token = tokens.token().await.map_err(|error| End::Token(chain(&error)))?;
        let Platform { tls, proxies, .. } = &self.platform;
        let wire = dial(target.endpoint.peer(tls, PROTOCOLS, proxies.for_url(url))).await?;
        let answer = target.ask(token.header(), wire).await?;
        if matches!(answer, Answer::TokenRefused(_)) {
            tokens.invalidate(&token);
        }
        Ok(answer)
    }
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Session {
    events: Events,
    gatherer: Gatherer,
}

/// The body, as events.
#[derive(Debug)]
struct Events {
    body: Body,
    reader: Reader,
    log: Arc<WireLog>,
}

impl Session {
    fn new(body: Body, log: Arc<WireLog>) -> Self {
        Self { events: Events { body, reader: Reader::default(), log }, gatherer: Gatherer::new(GROUP) }
    }

    /// Where the stream leads.
    pub(super) fn address(&self) -> &str {
        self.events.log.address()
    }

    /// Waits for events and adds all that are ready to `group`. Cancel safe.
    pub(super) async fn read(&mut self, group: &mut Group) -> Result<Fill, End> {
        let Self { events, gatherer } = self;
        poll_fn(|cx| gatherer.poll(cx, group, |cx| events.poll_unit(cx))).await
    }

    /// Leaves; there is nothing to say to a gateway but that.
    pub(super) async fn close(self) {
        self.events.body.close().await;
    }
}

impl Events {
    fn poll_unit(&mut self, cx: &mut Context<'_>) -> Poll<Result<Unit, End>> {
        if let Some(unit) = self.unit() {
            return Poll::Ready(unit);
        }
        match ready!(self.body.poll_chunk(cx)) {
            Some(Ok(chunk)) => {
                self.reader.push(chunk);
                // Bytes without a whole event are life all the same.
                Poll::Ready(self.unit().unwrap_or(Ok(Unit::Life)))
            }
            Some(Err(error)) => Poll::Ready(Err(self.body.end(&self.log, &error))),
            None => Poll::Ready(Err(self.end_of_body())),
        }
    }

    fn unit(&mut self) -> Option<Result<Unit, End>> {
        Some(match self.reader.next_event()? {
            Event::Data(data) => Ok(Unit::Frame(data)),
            Event::Life => Ok(Unit::Life),
            Event::TooLong => Ok(Unit::Malformed),
            Event::Closing => Err(End::Closing),
        })
    }

    /// The body has ended, and the gateway has not said that it would.
    fn end_of_body(&self) -> End {
        let place = if self.reader.is_within_event() { ", in the middle of an event" } else { "" };
        End::Unavailable(format!(
            "the stream ended without a closing event{place}: the gateway has lost its reverse log proxy, or that \
             takes no more streams"
        ))
    }
}
