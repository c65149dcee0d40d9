//! What becomes of a body that has been read: the verdict, the ledger, the answer.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;

use super::{Exchange, Received, Work};
use crate::sim::hec::acks::Ready;
use crate::sim::hec::admission::{Admission, Admitted, GzipUse, Query};
use crate::sim::hec::code::Code;
use crate::sim::hec::config::Endpoint;
use crate::sim::hec::events::{Judge, Outcome, Verdict};
use crate::sim::hec::intake::{Digest, IntakeError};
use crate::sim::hec::ledger::Origin;
use crate::sim::hec::profile::{Batches, Behaviour, Success};
use crate::sim::hec::reply::Reply;
use crate::sim::hec::scan::{Ending, Scanner};
use crate::sim::hec::script::{AckFault, Cut};

/// What happened to the events of a request.
struct Taken {
    outcome: Outcome,
    events: u64,
}

impl Exchange<'_> {
    /// Judges what came, indexes it, and finds the answer.
    pub(super) async fn conclude(&self, work: Work, received: Received, query: Query<'_>) -> Reply {
        let (endpoint, admitted) = match work {
            Work::Answer(reply) => return reply,
            Work::Poll(admitted) => (Endpoint::Ack, admitted),
            Work::Ingest(endpoint, admitted) => (endpoint, admitted),
        };
        if received.raw_bytes == 0 {
            return Reply::hec(Code::NoData);
        }
        let digest = match received.digest {
            Ok(digest) => digest,
            Err(IntakeError::BadGzip) => return Reply::hec(Code::InvalidDataFormat),
            Err(IntakeError::TooLarge) => return self.too_large(received.raw_bytes),
        };
        if endpoint == Endpoint::Ack {
            return self.poll(&admitted, &digest).await;
        }
        let taken = match &digest {
            Digest::Scanned(scanner) => self.count(scanner),
            Digest::Collected(body) => self.judge(endpoint, &admitted, body, query),
            Digest::Nothing => Taken { outcome: Outcome::failed(Code::NoData, None), events: 0 },
        };
        self.verdict(&admitted, taken)
    }

    fn too_large(&self, bytes: u64) -> Reply {
        let limit = self.shared.behaviour.max_content_bytes;
        let admission = Admission { tokens: &[], behaviour: &self.shared.behaviour, gzip: GzipUse::Taken };
        // Of a compressed body only that it inflates past the limit is known.
        admission.too_large(bytes.max(limit as u64 + 1))
    }

    /// Takes a body that was only scanned.
    fn count(&self, scanner: &Scanner) -> Taken {
        let events = scanner.events();
        let outcome = match (scanner.ending(), events) {
            (Ending::Broken, _) => Outcome::failed(Code::InvalidDataFormat, events),
            (Ending::Clean, 0) => Outcome::failed(Code::NoData, None),
            (Ending::Clean, _) => Outcome::Accepted,
        };
        let whole = outcome == Outcome::Accepted;
        if !whole && self.shared.behaviour.batches == Batches::AllOrNothing {
            return Taken { outcome, events: 0 };
        }
        self.shared.index(|ledger| {
            ledger.count(events, scanner.event_bytes());
            ledger.taken(scanner.times());
        });
        Taken { outcome, events }
    }

    fn judge(&self, endpoint: Endpoint, admitted: &Admitted, body: &[u8], query: Query<'_>) -> Taken {
        let now = self.shared.now();
        let mut busy_prefix = self.shared.behaviour.busy_prefix;
        let mut room = u64::MAX;
        if let Some((events, prefix)) = self.plan.busy_after {
            (room, busy_prefix) = (events, prefix);
        }
        let behaviour = Behaviour { busy_prefix, ..self.shared.behaviour };
        let judge = Judge { token: &admitted.token, defaults: &query.defaults, behaviour: &behaviour };
        let verdict: Verdict<'_> = {
            let mut queue = self.shared.queue();
            let enqueue = |bytes| {
                let taken = room > 0 && queue.as_mut().is_none_or(|queue| queue.push(bytes, now));
                room = room.saturating_sub(1);
                taken
            };
            match endpoint {
                Endpoint::Raw => judge.lines(body, enqueue),
                Endpoint::Event | Endpoint::Ack | Endpoint::Health => judge.envelopes(body, enqueue),
            }
        };
        let origin = Origin {
            connection: self.link.id,
            request: self.number,
            channel: admitted.channel,
            default_index: admitted.token.default_index.clone(),
            defaults: Arc::new(query.defaults),
        };
        self.shared.index(|ledger| ledger.add(&origin, &verdict.indexed));
        Taken { outcome: verdict.outcome, events: verdict.indexed.len() as u64 }
    }

    /// The answer to what has been taken, with an acknowledgement id where one is due.
    fn verdict(&self, admitted: &Admitted, taken: Taken) -> Reply {
        match taken.outcome {
            Outcome::Accepted if self.shared.behaviour.success == Success::Created => {
                Reply::json(StatusCode::CREATED, "\"OK\"")
            }
            Outcome::Accepted => {
                let reply = Reply::hec(self.shared.acceptance(admitted));
                self.with_ack_id(reply, admitted)
            }
            Outcome::Failed { code, event_number } => {
                let reply = Reply::hec(code);
                let reply = match event_number {
                    Some(number) => reply.with_event_number(number),
                    None => reply,
                };
                // The id stands for the events before the bad one; whether code 9 carries one
                // is not known, so it does not.
                if taken.events > 0 && code != Code::ServerBusy {
                    self.with_ack_id(reply, admitted)
                } else {
                    reply
                }
            }
        }
    }

    fn with_ack_id(&self, reply: Reply, admitted: &Admitted) -> Reply {
        let Some(channel) = admitted.channel.filter(|_| self.shared.acks_used(&admitted.token)) else {
            return reply;
        };
        let now = self.shared.now();
        let mut acks = self.shared.acks();
        let ready = match self.plan.ack {
            Some(AckFault::Never) => Some(Ready::Never),
            Some(AckFault::Delay(delay)) => Some(Ready::After(delay)),
            Some(AckFault::RestartIds) => {
                acks.restart_channel(channel);
                None
            }
            Some(AckFault::LoseReply | AckFault::WrongServer) | None => None,
        };
        reply.with_ack_id(acks.issue(channel, ready, now))
    }

    async fn poll(&self, admitted: &Admitted, digest: &Digest) -> Reply {
        #[derive(Deserialize)]
        struct Question {
            acks: Vec<u64>,
        }

        let body = if let Digest::Collected(body) = digest { body.as_slice() } else { &[] };
        let (Ok(question), Some(channel)) = (serde_json::from_slice::<Question>(body), admitted.channel)
        else {
            return Reply::hec(Code::InvalidDataFormat);
        };
        let now = self.shared.now();
        let statuses = match self.plan.ack {
            Some(AckFault::WrongServer) => question.acks.into_iter().map(|id| (id, false)).collect(),
            Some(AckFault::RestartIds) => {
                let mut acks = self.shared.acks();
                acks.restart_channel(channel);
                acks.poll(channel, &question.acks, now)
            }
            Some(AckFault::Never | AckFault::Delay(_) | AckFault::LoseReply) | None => {
                self.shared.acks().poll(channel, &question.acks, now)
            }
        };
        self.shared.count(|counters| counters.polled(&statuses));
        if self.plan.ack == Some(AckFault::LoseReply) {
            self.link.cut(Cut::Reset).await;
        }
        Reply::acks(statuses)
    }
}
