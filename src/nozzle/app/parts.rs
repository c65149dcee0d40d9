//! The parts of the nozzle as the configuration wants them. Nothing runs yet.

use std::sync::Arc;

use crate::hec::{self, AckConfig, Client, ClientConfig, RetryLimit};
use crate::nozzle::batcher::{BatchLimits, Batcher};
use crate::nozzle::cf::Foundation;
use crate::nozzle::cf::http::{ClientError, Http};
use crate::nozzle::cf::token::Credentials;
use crate::nozzle::config::{Config, SourceChoice};
use crate::nozzle::encode::{Encoder, EncoderSettings};
use crate::nozzle::enrich::Enricher;
use crate::nozzle::event_type::{EventSet, EventType};
use crate::nozzle::metadata::Metadata;
use crate::nozzle::parking::Parking;
use crate::nozzle::source::{Platform, SelectorKinds, SourceKind, SourcePlan};
use crate::nozzle::upstream::Upstream;
use crate::nozzle::worker::Stages;

/// Bytes of envelopes that may be parked in all workers together.
const PARKING_BYTES_MAX: usize = 8 << 20;

/// Where to read from, without a watch stream. Decided from the configuration alone, or left to what the API root names:
/// instances that differed would get everything twice.
pub(in crate::nozzle) fn source_plan(config: &Config, foundation: &Foundation) -> SourcePlan {
    let source = &config.source;
    let platform = || Platform {
        foundation: foundation.clone(),
        tls: config.cf_tls.clone().into(),
        proxies: config.proxies.clone(),
    };
    let kind = match (source.choice, &source.rlp) {
        (SourceChoice::Auto | SourceChoice::Grpc, Some(rlp)) => SourceKind::Grpc {
            address: rlp.address.clone(),
            server_name: rlp.server_name.clone(),
            tls: rlp.tls.clone().into(),
        },
        // The configuration has a reverse log proxy where the choice is gRPC.
        (SourceChoice::Auto | SourceChoice::Grpc, None) => SourceKind::Auto(platform()),
        (SourceChoice::Gateway, _) => SourceKind::Gateway(platform()),
        (SourceChoice::Firehose, _) => SourceKind::Firehose(platform()),
    };
    SourcePlan {
        kind,
        streams: source.streams,
        shard_id: source.shard_id.clone(),
        kinds: selector_kinds(config.events),
        idle_timeout: source.idle_timeout,
        renewal: source.renewal,
        watch: None,
    }
}

/// What EVENTS needs of the platform.
fn selector_kinds(events: EventSet) -> SelectorKinds {
    let any = |types: &[EventType]| types.iter().any(|event_type| events.contains(*event_type));
    SelectorKinds {
        logs: any(&[EventType::LogMessage]),
        errors: any(&[EventType::Error]),
        counters: any(&[EventType::CounterEvent]),
        gauges: any(&[EventType::ValueMetric, EventType::ContainerMetric]),
        timers: any(&[EventType::HttpStartStop]),
        events: any(&[EventType::Event]),
        v1_only: any(&[EventType::HttpStart, EventType::HttpStop]),
    }
}

pub(super) fn encoder(config: &Config) -> Encoder {
    let shape = &config.shape;
    Encoder::new(EncoderSettings {
        events: config.events,
        names: config.metadata.settings.fields,
        add_tags: shape.add_tags,
        extra_fields: shape.extra_fields.clone(),
        tracing: shape.event_tracing.then(|| config.source.shard_id.clone()),
        event_bytes_max: config.hec.max_event_bytes,
        oversize: config.hec.oversize,
    })
}

pub(super) fn stages(
    config: &Config,
    metadata: Metadata,
    encoder: Encoder,
    upstream: Arc<Upstream>,
) -> Stages {
    let limits = BatchLimits {
        bytes: config.hec.batch_bytes,
        events: config.hec.batch_events,
        age: config.hec.flush_interval,
        open_bytes: config.delivery_max_bytes / 4 / config.workers.get(),
    };
    Stages::new(
        Enricher::new(metadata),
        Parking::new(config.metadata.settings.wait, PARKING_BYTES_MAX / config.workers.get()),
        encoder,
        Batcher::new(limits, Arc::from(config.shape.index.as_str())),
        upstream,
    )
}

/// The client for the Cloud Foundry API.
pub(in crate::nozzle) fn foundation(config: &Config) -> Result<Foundation, ClientError> {
    let credentials =
        Credentials { client_id: config.client_id.clone(), client_secret: config.client_secret.clone() };
    let http = Http::new(&config.cf_tls, &config.proxies)?;
    Ok(Foundation::new(http, config.api_endpoint.clone(), credentials))
}

/// The client for HEC.
pub(in crate::nozzle) fn hec_client(config: &Config) -> Result<Client, hec::ConfigError> {
    let hec = &config.hec;
    let retries = hec.retries.and_then(std::num::NonZeroU32::new);
    Client::new(ClientConfig {
        failover: hec.failover.clone(),
        proxies: config.proxies.clone(),
        tls: hec.tls.clone(),
        compression: hec.compression,
        timeout: hec.timeout,
        response: hec.response,
        retries: retries.map_or(RetryLimit::Unlimited, RetryLimit::Attempts),
        fallback_index: hec.fallback_index.clone(),
        // What waits to be confirmed keeps its place in the pool: the other half is for what comes.
        acks: AckConfig { pending_bytes_max: config.delivery_max_bytes / 2, ..hec.acks },
        ..ClientConfig::with_urls(hec.urls.clone(), hec.token.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nozzle::config::Inputs;
    use crate::nozzle::config::flags::FlagValues;

    #[test]
    fn the_source_follows_from_the_settings() {
        crate::tls::install_provider();
        let required = [
            ("API_ENDPOINT", "https://api.example.com"),
            ("CLIENT_ID", "client"),
            ("CLIENT_SECRET", "secret"),
            ("SPLUNK_HOST", "https://hec.example.com"),
            ("SPLUNK_TOKEN", "token"),
            ("SPLUNK_INDEX", "main"),
        ];
        let rlp =
            [("RLP_ADDRESS", "rlp:8082"), ("RLP_CERT_FILE", "Cargo.toml"), ("RLP_KEY_FILE", "Cargo.toml")];
        let cases = [
            ("auto", false, "auto"),
            ("auto", true, "grpc"),
            ("grpc", true, "grpc"),
            ("gateway", false, "gateway"),
            ("gateway", true, "gateway"),
            ("firehose", false, "firehose"),
            ("firehose", true, "firehose"),
        ];
        for (choice, with_rlp, expected) in cases {
            let more = if with_rlp { &rlp[..] } else { &[] };
            let environment = [&required, more, &[("LOGGREGATOR_SOURCE", choice)]].concat();
            let (config, _) = Config::load(&Inputs::new(FlagValues::default(), environment)).unwrap();
            let plan = source_plan(&config, &foundation(&config).unwrap());
            assert_eq!(plan.kind.label(), expected, "{choice}, RLP_ADDRESS given: {with_rlp}");
        }
    }
}
