//! Events to Splunk's HTTP Event Collector, by the client the nozzle uses: retries, gzip,
//! verified certificates; a body that is refused costs only the events that are at fault.
//!
//! Each sample has its own servers; equal ones share a client, and so do those of one sample that take the
//! same token: what one does not take goes to another. A few bodies are on their way at once, so order
//! between bodies is not promised, as in the original.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use self::encode::{Encoder, Form};
pub(super) use self::server::Clients;
use self::server::{Server, servers};
use super::settings::Settings;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Nature, Output, OutputError, OutputFuture};
use crate::hec::batch::Batch as Body;
use crate::task::Tasks;

mod encode;
mod server;

/// Bytes of a body, unless `httpeventMaxPayloadSize` says otherwise. The original's 10,000 would
/// make thirty events a request.
const BODY_BYTES: usize = 512 * 1024;
/// Bodies of one sample on their way at once.
const BODIES_MAX: usize = 8;

/// Where a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// To one of them: to which one is the client's choice where they take the same token, else they take turns.
    RoundRobin,
    /// To all of them.
    Mirror,
}

/// The outputs `httpevent` and `metric_httpevent`.
#[derive(Debug)]
pub(super) struct Hec {
    servers: Vec<Arc<Server>>,
    mode: Mode,
    next: usize,
    encoder: Encoder,
    sending: Tasks<Sent>,
    /// Events on their way, by the number of the write they came with.
    under_way: BTreeMap<u64, u64>,
    write: u64,
    is_writing: bool,
    lost: Lost,
    stop: CancellationToken,
}

/// What became of a body.
#[derive(Debug)]
struct Sent {
    write: u64,
    events: u64,
    lost: Lost,
}

/// Events that were lost since it was last told, and why the first ones were.
#[derive(Debug, Default)]
struct Lost {
    events: u64,
    message: Option<String>,
}

impl Lost {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        if self.message.is_none() {
            self.message = other.message;
        }
    }
}

impl Hec {
    pub(super) fn new(sample: &SampleConfig, clients: &Clients) -> Result<Self, String> {
        Self::of(sample, clients, Form::Event)
    }

    pub(super) fn metrics(sample: &SampleConfig, clients: &Clients) -> Result<Self, String> {
        Self::of(sample, clients, Form::Metric)
    }

    fn of(sample: &SampleConfig, clients: &Clients, form: Form) -> Result<Self, String> {
        let settings = Settings(sample);
        let mode = match settings.text("httpeventOutputMode") {
            None | Some("roundrobin") => Mode::RoundRobin,
            Some("mirror") => Mode::Mirror,
            Some(other) => return Err(settings.wrong("httpeventOutputMode", other, "roundrobin or mirror")),
        };
        let expected = "a number of bytes above 0";
        let body_bytes = settings.number("httpeventMaxPayloadSize", BODY_BYTES, expected)?;
        if body_bytes == 0 {
            return Err(settings.wrong("httpeventMaxPayloadSize", "0", expected));
        }
        Ok(Self {
            servers: servers(settings, mode, clients)?,
            mode,
            next: 0,
            encoder: Encoder::new(form, body_bytes),
            sending: Tasks::new(),
            under_way: BTreeMap::new(),
            write: 0,
            is_writing: false,
            lost: Lost::default(),
            stop: CancellationToken::new(),
        })
    }

    async fn send(&mut self, batch: &Batch) -> Result<(), OutputError> {
        self.write += 1;
        self.is_writing = true;
        let mut bodies = Vec::new();
        let unfit = self.encoder.encode(batch, &mut bodies);
        if unfit.events > 0 {
            self.lost.add(Lost { events: unfit.events, message: Some(unfit.why.to_owned()) });
        }
        for body in bodies {
            while self.sending.len() >= BODIES_MAX {
                self.settle().await;
            }
            self.start(body);
        }
        while self.settle().now_or_never() == Some(true) {}
        self.is_writing = false;
        self.tell()
    }

    fn start(&mut self, body: Body) {
        let servers = match self.mode {
            Mode::Mirror => self.servers.clone(),
            Mode::RoundRobin => vec![self.pick()],
        };
        let (write, events) = (self.write, body.len() as u64);
        *self.under_way.entry(write).or_default() += events;
        let stop = self.stop.clone();
        self.sending.spawn("delivery", async move {
            let bodies = copies(body, servers.len());
            let deliveries = servers.iter().zip(bodies).map(|(server, body)| server.deliver(body, &stop));
            // An event is lost if one of several servers does not have it.
            let lost = join_all(deliveries).await.into_iter().max_by_key(|lost| lost.events);
            Sent { write, events, lost: lost.unwrap_or_default() }
        });
    }

    /// The next server in turn; one that is away or refuses us only if all do.
    fn pick(&mut self) -> Arc<Server> {
        let count = self.servers.len();
        let turn = (0..count).map(|step| (self.next + step) % count);
        let at = turn.clone().find(|at| self.servers[*at].is_open()).unwrap_or(self.next % count);
        self.next = at + 1;
        Arc::clone(&self.servers[at])
    }

    /// Waits for a delivery to end; false when none is under way. Cancel safe.
    async fn settle(&mut self) -> bool {
        let Some(sent) = self.sending.join_next().await else { return false };
        match sent {
            Ok((_, sent)) => {
                if let Some(events) = self.under_way.get_mut(&sent.write) {
                    *events -= sent.events;
                }
                self.under_way.retain(|_, events| *events > 0);
                self.lost.add(sent.lost);
            }
            // Which one it was is not known; its events stay under way, and are lost at the end.
            Err(error) => tracing::error!(%error, "a delivery broke"),
        }
        true
    }

    fn tell(&mut self) -> Result<(), OutputError> {
        let lost = std::mem::take(&mut self.lost);
        match lost.message {
            None => Ok(()),
            Some(message) => Err(OutputError { message, lost: lost.events, closed: false }),
        }
    }

    async fn end(&mut self) -> Result<(), OutputError> {
        while self.settle().await {}
        let broken: u64 = std::mem::take(&mut self.under_way).into_values().sum();
        if broken > 0 {
            self.lost.add(Lost { events: broken, message: Some("a delivery broke".to_owned()) });
        }
        self.tell()
    }
}

impl Output for Hec {
    fn nature(&self) -> Nature {
        Nature::Waiting
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        Box::pin(self.send(batch))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        self.is_writing = false;
        Box::pin(self.end())
    }

    fn abandon(&mut self) -> u64 {
        self.stop.cancel();
        let counted = |write: &u64| !(self.is_writing && *write == self.write);
        let left = self.under_way.iter().filter(|(write, _)| counted(write)).map(|(_, events)| events);
        left.sum::<u64>() + self.lost.events
    }
}

/// A body as often as it is needed.
fn copies(body: Body, count: usize) -> Vec<Body> {
    let mut copies: Vec<Body> = (1..count)
        .map(|_| {
            let mut copy = Body::new(Arc::clone(body.index()), body.committed());
            let mut start = 0;
            for mark in body.marks() {
                copy.buffer().extend_from_slice(&body.body()[start..mark.end as usize]);
                copy.commit(mark.units);
                start = mark.end as usize;
            }
            copy
        })
        .collect();
    copies.push(body);
    copies
}

#[cfg(test)]
mod tests;
