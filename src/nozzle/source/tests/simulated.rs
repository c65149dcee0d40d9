//! The streams against the simulated foundation, which was written without knowing them.

use prost::Message as _;
use secrecy::SecretString;
use tonic::Status;
use url::Url;

use super::*;
use crate::nozzle::cf::Foundation as Api;
use crate::nozzle::cf::http::Http;
use crate::nozzle::cf::token::Credentials;
use crate::proto::dropsonde;
use crate::proto::loggregator::{Envelope, EnvelopeBatch, Log, envelope::Message};
use crate::sim::foundation::{
    Connected, End as Ends, Fault, Foundation, FoundationConfig, Patience, SelfMetrics, Target,
};

/// A foundation, and two streams that read from it.
struct World {
    foundation: Foundation,
    running: Running,
    _dir: TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Grpc,
    Firehose,
}

impl World {
    async fn start(from: From) -> Self {
        crate::tls::install_provider();
        let patience = Patience {
            ping_interval: Duration::from_millis(100),
            pong_timeout: Duration::from_secs(5),
            ..Patience::default()
        };
        let config =
            FoundationConfig { patience, self_metrics: SelfMetrics::Losses, ..FoundationConfig::default() };
        let foundation = Foundation::start(config).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = foundation.write_certificates(dir.path()).unwrap();
        let tls = ClientTls {
            ca_file: Some(files.ca_file),
            identity: Some(files.identity),
            ..ClientTls::default()
        };
        let kind = match from {
            From::Grpc => grpc_kind(foundation.rlp_address(), tls),
            From::Firehose => {
                let proxies = ProxySettings::default();
                let http = Http::new(&tls, &proxies).unwrap();
                let client_secret = SecretString::from("nozzle-secret".to_owned());
                let credentials = Credentials { client_id: "nozzle".to_owned(), client_secret };
                let api = Url::parse(&foundation.api_url()).unwrap();
                SourceKind::Firehose(Platform {
                    foundation: Api::new(http, api, credentials),
                    tls: tls.into(),
                    proxies,
                })
            }
        };
        let streams = NonZeroUsize::new(2).unwrap();
        let running = Running::start(SourcePlan { streams, ..plan(kind) });
        let world = Self { foundation, running, _dir: dir };
        world.both_open().await;
        world
    }

    /// Waits until both ends say that both streams are open.
    async fn both_open(&self) {
        timeout(DEADLINE, self.running.sources.wait_connected(2)).await.unwrap();
        let open = |connected: &Connected| connected.rlp + connected.firehose == 2;
        self.foundation.wait_connected(DEADLINE, open).await.unwrap();
    }

    /// Publishes numbered logs and waits until they have all come.
    async fn pass(&self, from: From, numbers: std::ops::Range<usize>) {
        let envelopes: Vec<Envelope> = numbers.clone().map(log).collect();
        for chunk in envelopes.chunks(100) {
            self.foundation.room(chunk.len()).await;
            self.foundation.publish(chunk);
        }
        let mut came = Vec::new();
        while came.len() < numbers.len() {
            came.extend(timeout(DEADLINE, self.next(from)).await.expect("all of them come"));
        }
        came.sort_unstable();
        let sent: Vec<String> = numbers.map(number).collect();
        assert!(came == sent, "each exactly once");
    }

    async fn next(&self, from: From) -> Vec<String> {
        let queued = self.running.frames.recv().await.unwrap();
        let frames = queued.frames.frames.iter();
        let logs = frames.flat_map(|frame| match from {
            From::Grpc => v2_logs(frame),
            From::Firehose => vec![v1_log(frame)],
        });
        logs.map(|payload| String::from_utf8(payload.to_vec()).unwrap()).collect()
    }
}

fn number(number: usize) -> String {
    format!("{number:06}")
}

fn log(index: usize) -> Envelope {
    let payload = number(index).into();
    Envelope {
        timestamp: 1,
        source_id: "app".to_owned(),
        message: Some(Message::Log(Log { payload, r#type: 0 })),
        ..Envelope::default()
    }
}

fn v2_logs(frame: &[u8]) -> Vec<Bytes> {
    let payload = |envelope: Envelope| match envelope.message {
        Some(Message::Log(log)) => log.payload,
        other => panic!("a log: {other:?}"),
    };
    EnvelopeBatch::decode(frame).unwrap().batch.into_iter().map(payload).collect()
}

fn v1_log(frame: &[u8]) -> Bytes {
    dropsonde::Envelope::decode(frame).unwrap().log_message.unwrap().message
}

#[tokio::test]
async fn everything_published_comes_once() {
    for from in [From::Grpc, From::Firehose] {
        let world = World::start(from).await;
        world.pass(from, 0..5_000).await;
        let status = world.running.sources.status();
        assert!(status.streams.iter().all(|stream| stream.frames > 0), "shared among streams: {status:?}");
        world.running.stop().await;
        world.foundation.wait_connected(DEADLINE, |open| *open == Connected::default()).await.unwrap();
    }
}

#[tokio::test]
async fn streams_come_back_after_each_fault() {
    let cases = [
        (From::Grpc, Ends::Eof, "completed"),
        (From::Grpc, Ends::Unavailable, "unavailable"),
        (From::Grpc, Ends::Cut, "lost"),
        (From::Firehose, Ends::Cut, "cut_in_frame"),
        (From::Firehose, Ends::Eof, "closed"),
    ];
    for (from, end, reason) in cases {
        let world = World::start(from).await;
        world.pass(from, 0..100).await;
        assert_eq!(world.foundation.inject(&Target::All, &Fault::End(end.clone())), 2);
        world.running.wait_for(reason, |status| status.ends.get(reason) == Some(&2)).await;
        world.both_open().await;
        world.pass(from, 100..200).await;
    }
}

#[tokio::test]
async fn a_full_proxy_is_tried_again() {
    let world = World::start(From::Grpc).await;
    let full = Status::resource_exhausted("unable to create stream, max egress streams reached: 500");
    world.foundation.refuse_streams(2, &full);
    world.foundation.inject(&Target::All, &Fault::End(Ends::Eof));
    world.running.wait_for("refused", |status| status.ends.get("resource_exhausted") == Some(&2)).await;
    world.both_open().await;
    world.pass(From::Grpc, 0..100).await;
}

#[tokio::test]
async fn a_token_that_was_revoked_is_replaced() {
    let world = World::start(From::Firehose).await;
    world.foundation.uaa().revoke_all();
    world.foundation.inject(&Target::All, &Fault::End(Ends::Eof));
    world.running.wait_for("ended", |status| status.ends.get("closed") == Some(&2)).await;
    world.both_open().await;
    world.pass(From::Firehose, 0..100).await;
    let status = world.running.sources.status();
    assert_eq!(status.ends.get("unauthorized"), None, "{status:?}");
}
