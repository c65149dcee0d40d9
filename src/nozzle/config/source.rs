//! How the firehose is read.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::parse;
use super::reader::{Parsed, Reader};
use super::settings::Setting;
use super::settings::input::{
    FIREHOSE_KEEP_ALIVE, FIREHOSE_SUBSCRIPTION_ID, LOGGREGATOR_SOURCE, LOGGREGATOR_STREAMS, RLP_ADDRESS,
    RLP_CA_FILE, RLP_CERT_FILE, RLP_KEY_FILE, RLP_SERVER_NAME,
};
use crate::nozzle::source::Renewal;
use crate::tls::{ClientTls, Identity, Verification};

/// The shortest idle time obeyed: a shorter one would replace streams without end.
const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// How the firehose is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Which of the platform's sources.
    pub choice: SourceChoice,
    /// Parallel streams of this instance.
    pub streams: NonZeroUsize,
    /// A stream that brings nothing for this long is replaced; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Subscription id (v1) and shard id (v2).
    pub shard_id: String,
    /// The reverse log proxy, if one is configured; always there when `choice` is `Grpc`.
    pub rlp: Option<RlpConfig>,
    /// When streams of the gateway are renewed. No setting: the platform's limit is none either.
    pub renewal: Renewal,
}

/// Which of the platform's sources is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChoice {
    /// gRPC if a reverse log proxy is configured, else the gateway if the API root names one, else
    /// the v1 firehose.
    Auto,
    /// The reverse log proxy (v2).
    Grpc,
    /// The RLP gateway (v2).
    Gateway,
    /// The websocket of the traffic controller (v1).
    Firehose,
}

/// Where the reverse log proxy is, and how to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RlpConfig {
    /// `host:port`.
    pub address: String,
    /// The name its certificate must have.
    pub server_name: String,
    /// Always with an identity, always fully verified.
    pub tls: ClientTls,
}

impl SourceConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let choices = [
            ("auto", SourceChoice::Auto),
            ("grpc", SourceChoice::Grpc),
            ("gateway", SourceChoice::Gateway),
            ("firehose", SourceChoice::Firehose),
        ];
        let choice = reader.value(&LOGGREGATOR_SOURCE, parse::choice(&choices));
        let streams = reader.value(&LOGGREGATOR_STREAMS, parse::count);
        let idle_timeout = reader.value(&FIREHOSE_KEEP_ALIVE, parse::duration);
        let idle_timeout = idle_timeout.map(|given| at_least(reader, given));
        let shard_id = reader.value(&FIREHOSE_SUBSCRIPTION_ID, parse::word);
        let rlp = read_rlp(reader);
        match (choice, reader.is_given(&RLP_ADDRESS)) {
            (Some(SourceChoice::Grpc), false) => {
                reader.missing(&RLP_ADDRESS, "LOGGREGATOR_SOURCE is grpc");
            }
            (Some(SourceChoice::Gateway), true) => {
                reader.warn(&RLP_ADDRESS, "has no effect: LOGGREGATOR_SOURCE is gateway");
            }
            (Some(SourceChoice::Firehose), true) => {
                reader.warn(&RLP_ADDRESS, "has no effect: LOGGREGATOR_SOURCE is firehose");
            }
            _ => {}
        }
        Some(Self {
            choice: choice?,
            streams: streams?,
            idle_timeout: idle_timeout?,
            shard_id: shard_id?,
            rlp: rlp?,
            renewal: Renewal::default(),
        })
    }
}

fn at_least(reader: &mut Reader, given: Duration) -> Option<Duration> {
    if given.is_zero() {
        return None;
    }
    if given < IDLE_TIMEOUT_MIN {
        reader.warn(&FIREHOSE_KEEP_ALIVE, "is too short to read anything; 1s applies");
        reader.applies(&FIREHOSE_KEEP_ALIVE, "1s");
    }
    Some(given.max(IDLE_TIMEOUT_MIN))
}

fn read_rlp(reader: &mut Reader) -> Option<Option<RlpConfig>> {
    let address = reader.optional(&RLP_ADDRESS, parse::host_port);
    let server_name = reader.value(&RLP_SERVER_NAME, parse::word);
    let ca_file = reader.optional(&RLP_CA_FILE, parse::later_file);
    let identity = identity(reader, &RLP_CERT_FILE, &RLP_KEY_FILE, parse::later_file);
    if !reader.is_given(&RLP_ADDRESS) {
        for setting in [&RLP_SERVER_NAME, &RLP_CA_FILE, &RLP_CERT_FILE, &RLP_KEY_FILE] {
            if reader.is_given(setting) {
                reader.warn(setting, "has no effect without RLP_ADDRESS");
            }
        }
    } else if identity == Some(None) {
        reader.missing(
            &RLP_CERT_FILE,
            "RLP_ADDRESS is, and the reverse log proxy asks for a client certificate",
        );
    }
    let (address, server_name, ca_file, identity) = (address?, server_name?, ca_file?, identity?);
    let Some(address) = address else { return Some(None) };
    let tls = ClientTls { ca_file, identity, verification: Verification::Full };
    Some(Some(RlpConfig { address, server_name, tls }))
}

/// A client certificate: both files, or neither.
pub(super) fn identity(
    reader: &mut Reader,
    certificate: &'static Setting,
    key: &'static Setting,
    file: fn(&Setting, &str) -> Parsed<PathBuf>,
) -> Option<Option<Identity>> {
    let cert_file = reader.optional(certificate, file);
    let key_file = reader.optional(key, file);
    match (cert_file?, key_file?) {
        (Some(cert_file), Some(key_file)) => Some(Some(Identity { cert_file, key_file })),
        (None, None) => Some(None),
        (Some(_), None) => {
            reader.missing(key, "the certificate that belongs to it is");
            None
        }
        (None, Some(_)) => {
            reader.missing(certificate, "the key that belongs to it is");
            None
        }
    }
}
