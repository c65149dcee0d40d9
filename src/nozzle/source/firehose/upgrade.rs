//! The HTTP/1.1 request that turns a connection into a websocket.
//!
//! Made with the HTTP library rather than the websocket one: a refusal's body says why, and the
//! latter throws it away.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sha1_smol::Sha1;
use tokio::time::timeout;

use crate::causes::chain;
use crate::nozzle::source::dial::{Wire, WireLog};
use crate::nozzle::source::end::End;

/// The longest wait for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that is read of a refusal.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// Fixed by the websocket protocol: proves that the server knows what it was asked for.
const ACCEPT_SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the server answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// The websocket is open.
    Open(TokioIo<Upgraded>, Arc<WireLog>),
    /// It is not.
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The server's reason.
        body: Bytes,
    },
}

impl Answer {
    /// Whether the token was refused.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::UNAUTHORIZED, .. })
    }
}

/// What to ask for.
pub(super) struct Upgrade<'a> {
    pub(super) address: &'a str,
    pub(super) path_and_query: &'a Uri,
    pub(super) host: &'a HeaderValue,
    pub(super) origin: &'a HeaderValue,
    pub(super) authorization: HeaderValue,
}

impl Upgrade<'_> {
    /// Asks on an open connection.
    ///
    /// # Errors
    /// The connection breaks, or the answer is none.
    pub(super) async fn on(self, wire: Wire) -> Result<Answer, End> {
        let log = wire.log();
        let lost = |error: hyper::Error| match error {
            error if error.is_parse() => End::Protocol(format!("not an HTTP answer: {}", chain(&error))),
            error => log.end(|| chain(&error)),
        };
        let (mut sender, connection) =
            http1::handshake::<_, Empty<Bytes>>(TokioIo::new(wire)).await.map_err(lost)?;
        let driver = async {
            // The exchange learns of an error from its own reads.
            let _ = connection.with_upgrades().await;
            pending().await
        };
        let key = STANDARD.encode(fastrand::u128(..).to_be_bytes());
        let exchange = async {
            let response = sender.send_request(self.request(&key)).await.map_err(lost)?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Ok(refused(response).await);
            }
            if response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes)
                != Some(accept(&key).as_bytes())
            {
                return Err(End::Protocol("the server's Sec-WebSocket-Accept does not match".to_owned()));
            }
            let upgraded = hyper::upgrade::on(response).await.map_err(lost)?;
            Ok(Answer::Open(TokioIo::new(upgraded), Arc::clone(&log)))
        };
        let answered = timeout(ANSWER_TIMEOUT, async {
            tokio::select! {
                answer = exchange => answer,
                answer = driver => answer,
            }
        });
        answered.await.unwrap_or_else(|_| {
            let cause = format!("connected, but no answer within {} s", ANSWER_TIMEOUT.as_secs());
            Err(End::Connect { address: self.address.to_owned(), cause })
        })
    }

    fn request(&self, key: &str) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.path_and_query.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if let Ok(key) = HeaderValue::from_str(key) {
            headers.insert(SEC_WEBSOCKET_KEY, key);
        }
        headers.insert(ORIGIN, self.origin.clone());
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("firehose-nozzle/", env!("CARGO_PKG_VERSION"))),
        );
        request
    }
}

async fn refused(response: Response<Incoming>) -> Answer {
    let status = response.status();
    // The status is worth telling even when the reason cannot be read.
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    Answer::Refused { status, body: body.map(|body| body.to_bytes()).unwrap_or_default() }
}

fn accept(key: &str) -> String {
    let mut hash = Sha1::from(key);
    hash.update(ACCEPT_SALT);
    STANDARD.encode(hash.digest().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_is_computed_as_the_protocol_says() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
