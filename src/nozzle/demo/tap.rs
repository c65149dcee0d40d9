//! Another reader of the same firehose, to show an envelope as it is before the nozzle.
//!
//! It has a shard id of its own, so it takes nothing from the nozzle, and listens only until one
//! event of Splunk's has been matched with the envelope it came from.

use std::collections::HashMap;

use anyhow::Context as _;
use hyper_rustls::HttpsConnectorBuilder;
use tonic::transport::{Channel, Endpoint};

use crate::proto::loggregator::egress_client::EgressClient;
use crate::proto::loggregator::envelope::Message;
use crate::proto::loggregator::{
    EgressBatchRequest, Envelope, EnvelopeBatch, LogSelector, Selector, selector,
};
use crate::sim::foundation::{Foundation, RLP_SERVER_NAME};
use crate::sim::hec::HecServer;
use crate::sim::load::sequence_in;

/// Envelopes remembered until an event is matched.
const REMEMBERED_MAX: usize = 20_000;

/// The other reader.
pub(super) struct Tap {
    stream: Option<tonic::Streaming<EnvelopeBatch>>,
    remembered: HashMap<u64, Envelope>,
}

impl Tap {
    /// Subscribes to all logs.
    pub(super) async fn open(foundation: &Foundation) -> anyhow::Result<Self> {
        let channel = connect(foundation).await.context("no second reader")?;
        let logs =
            Selector { source_id: String::new(), message: Some(selector::Message::Log(LogSelector {})) };
        let request = EgressBatchRequest {
            shard_id: "demo-tap".to_owned(),
            use_preferred_tags: true,
            selectors: vec![logs],
            ..EgressBatchRequest::default()
        };
        let stream = EgressClient::new(channel).batched_receiver(request).await?.into_inner();
        Ok(Self { stream: Some(stream), remembered: HashMap::new() })
    }

    /// Reads one message; waits for ever when it has what it wants. Cancel safe.
    pub(super) async fn listen(&mut self) {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        match stream.message().await {
            Ok(Some(batch)) if self.remembered.len() < REMEMBERED_MAX => {
                for envelope in batch.batch {
                    if let Some(Message::Log(log)) = &envelope.message
                        && let Some(number) = sequence_in(&String::from_utf8_lossy(&log.payload))
                    {
                        self.remembered.insert(number, envelope);
                    }
                }
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => self.stream = None,
        }
    }

    /// The last log event Splunk has and the envelope it came from; once.
    pub(super) fn match_with(&mut self, hec: &HecServer) -> Option<(Envelope, String)> {
        self.stream.as_ref()?;
        let summary = hec.summary().ok()?;
        let event = &summary.group("main", "cf:logmessage")?.sample;
        let envelope = self.remembered.remove(&sequence_in(event)?)?;
        self.stream = None;
        self.remembered = HashMap::new();
        Some((envelope, event.clone()))
    }
}

async fn connect(foundation: &Foundation) -> anyhow::Result<Channel> {
    let directory = tempfile::tempdir()?;
    let files = foundation.write_certificates(directory.path())?;
    let tls = crate::tls::ClientTls {
        ca_file: Some(files.ca_file),
        identity: Some(files.identity),
        ..crate::tls::ClientTls::default()
    };
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.rustls()?)
        .https_only()
        .with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(RLP_SERVER_NAME.try_into()?))
        .enable_http2()
        .build();
    let endpoint = Endpoint::from_shared(format!("https://{}", foundation.rlp_address()))?;
    Ok(endpoint.connect_with_connector(connector).await?)
}
