//! One request and its answer, with what the script makes of them.
//!
//! The order of things is fixed and is where faults happen: head, decision, body, verdict,
//! ledger, answer. The deciding parts are pure and live elsewhere; this is the way between them.

use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::sleep;

use super::admission::{Admission, Admitted, Channel, GzipUse, Query, Route, content_length};
use super::body::{ReplyBody, pause_for};
use super::code::Code;
use super::config::Endpoint;
use super::connection::Link;
use super::intake::{Digest, Encoding, Intake, IntakeError};
use super::ledger::LedgerMode;
use super::profile::WithoutUserAgent;
use super::reply::{Connection, Reply};
use super::scan::Scanner;
use super::script::{CutPoint, Facts, Plan, Stage};
use super::state::Shared;

mod conclusion;

/// Read of a body whose answer is known already; past it the connection is closed instead.
const DRAIN_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Serves one request.
pub(super) async fn serve(
    shared: Arc<Shared>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, hyper::Error> {
    let (head, body) = request.into_parts();
    let has_user_agent = head.headers.contains_key(header::USER_AGENT);
    let number = shared.count(|counters| counters.began(link.id, has_user_agent));
    let mut in_flight = InFlight { shared: &shared, answered: false };
    let on_connection = link.count_request();
    shared.pass_gate().await;

    let query = Query::of(head.uri.query());
    let channel = Channel::of(&head.headers, &query);
    let route = Route::of(&head.method, head.uri.path());
    let endpoint = if let Route::To(endpoint) = route { Some(endpoint) } else { None };
    let plan = shared.plan(Facts { endpoint, path: head.uri.path(), channel: channel.id() });
    let exchange = Exchange { shared: &shared, link: &link, plan: &plan, number };

    exchange.before_read().await;
    let work = exchange.decide(route, &head, &query, channel);
    let received = exchange.receive(&work, body, content_length(&head.headers)).await?;
    let reply = exchange.conclude(work, received, query).await;
    exchange.after_index().await;

    let reply = plan.answer_after_index.clone().unwrap_or(reply);
    let close = plan.close_after.is_some_and(|requests| on_connection >= requests)
        || !has_user_agent && shared.behaviour.without_user_agent == WithoutUserAgent::ClosesConnection;
    in_flight.answered = true;
    shared.count(|counters| counters.answered(endpoint, reply.status().as_u16(), reply.code()));
    Ok(exchange.answer(reply, if close { Connection::Close } else { Connection::KeepAlive }))
}

/// Counts a request out, also when its task is dropped in the middle.
struct InFlight<'a> {
    shared: &'a Shared,
    answered: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.count(|counters| counters.given_up());
        }
    }
}

/// What is to be done with a request whose head has been read.
enum Work {
    /// Nothing: this is the answer.
    Answer(Reply),
    Poll(Admitted),
    Ingest(Endpoint, Admitted),
}

/// A body that has been read.
struct Received {
    raw_bytes: u64,
    digest: Result<Digest, IntakeError>,
}

struct Exchange<'a> {
    shared: &'a Shared,
    link: &'a Arc<Link>,
    plan: &'a Plan,
    number: u64,
}

impl Exchange<'_> {
    async fn before_read(&self) {
        if let Some(delay) = self.plan.delay_before_read {
            sleep(delay).await;
        }
        self.hang_or_cut(Stage::BeforeRead, CutPoint::BeforeRead).await;
    }

    async fn after_index(&self) {
        if let Some(delay) = self.plan.delay_after_index {
            sleep(delay).await;
        }
        self.hang_or_cut(Stage::AfterIndex, CutPoint::AfterIndex).await;
    }

    async fn hang_or_cut(&self, stage: Stage, point: CutPoint) {
        if self.plan.hang == Some(stage) {
            std::future::pending::<()>().await;
        }
        self.cut_at(point).await;
    }

    async fn cut_at(&self, point: CutPoint) {
        if let Some((at, how)) = self.plan.cut
            && at == point
        {
            self.link.cut(how).await;
        }
    }

    /// Everything that can be said before the body is read.
    fn decide(&self, route: Route, head: &Parts, query: &Query<'_>, channel: Channel) -> Work {
        if let Some(reply) = self.plan.answer.clone().or_else(|| route.reply()) {
            return Work::Answer(reply);
        }
        let Route::To(endpoint) = route else {
            return Work::Answer(Reply::hec(Code::NotFound));
        };
        let tokens = self.shared.tokens();
        let gzip = if self.plan.refuse_gzip { GzipUse::Refused } else { GzipUse::Taken };
        let admission = Admission { tokens: &tokens, behaviour: &self.shared.behaviour, gzip };
        if endpoint == Endpoint::Health {
            let code = admission.health(&head.headers, query).err();
            return Work::Answer(Reply::hec(code.unwrap_or_else(|| self.shared.health())));
        }
        let admitted = match admission.admit(endpoint, head, query, channel) {
            Ok(admitted) => admitted,
            Err(reply) => return Work::Answer(reply),
        };
        self.shared.count(|counters| counters.admitted(&admitted.token.name, admitted.channel));
        if let Some(code) = self.shared.refusal(endpoint, &admitted) {
            return Work::Answer(Reply::hec(code));
        }
        if endpoint == Endpoint::Ack { Work::Poll(admitted) } else { Work::Ingest(endpoint, admitted) }
    }

    /// Reads the body, inflates and keeps or counts it as the work needs.
    async fn receive(
        &self,
        work: &Work,
        mut body: Incoming,
        length: Option<u64>,
    ) -> Result<Received, hyper::Error> {
        let mut intake = self.intake(work);
        let cut_at = length.unwrap_or(0) / 2;
        let mut raw_bytes = 0;
        let mut failure = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            raw_bytes += data.len() as u64;
            if raw_bytes > cut_at {
                self.cut_at(CutPoint::MidBody).await;
            }
            if failure.is_none() && !matches!(work, Work::Answer(_)) {
                failure = intake.feed(&data).err();
            } else if raw_bytes > DRAIN_MAX_BYTES {
                break;
            }
            if let Some(rate) = self.plan.drip_read {
                sleep(pause_for(data.len(), rate)).await;
            }
        }
        // A body without bytes has no middle: its end will do.
        self.cut_at(CutPoint::MidBody).await;
        let finished = match failure {
            Some(error) => Err(error),
            None => intake.finish(),
        };
        let inflated = finished.as_ref().map_or(0, |(_, bytes)| *bytes);
        self.shared.count(|counters| counters.read(raw_bytes, inflated));
        Ok(Received { raw_bytes, digest: finished.map(|(digest, _)| digest) })
    }

    fn intake(&self, work: &Work) -> Intake {
        let limit = self.shared.behaviour.max_content_bytes;
        match work {
            Work::Answer(_) => Intake::new(Encoding::Identity, Digest::Nothing, 0),
            Work::Poll(admitted) => Intake::new(admitted.encoding, Digest::Collected(Vec::new()), limit),
            Work::Ingest(endpoint, admitted) => {
                // Where each event's size matters a scan is not enough.
                let scans = self.plan.busy_after.is_none() && self.shared.queue().is_none();
                let digest = match self.shared.ledger().mode() {
                    LedgerMode::Count if scans => Digest::Scanned(Scanner::new(*endpoint)),
                    LedgerMode::Delays if scans => Digest::Scanned(Scanner::timed(*endpoint)),
                    _ => Digest::Collected(Vec::new()),
                };
                Intake::new(admitted.encoding, digest, limit)
            }
        }
    }

    /// Puts the answer on the wire, in the manner the script wants.
    fn answer(&self, reply: Reply, connection: Connection) -> Response<ReplyBody> {
        let reply = self
            .plan
            .headers
            .iter()
            .fold(reply, |reply, (name, value)| reply.with_header(name.clone(), value.clone()));
        let bytes = reply.body();
        let head = reply.head(bytes.len(), connection);
        let body = match (self.plan.cut, self.plan.drip_reply) {
            (Some((CutPoint::MidReply, how)), _) => ReplyBody::torn(bytes, self.link.clone(), how),
            (_, Some(rate)) => ReplyBody::dripping(bytes, rate),
            _ => ReplyBody::whole(bytes),
        };
        head.map(|()| body)
    }
}
