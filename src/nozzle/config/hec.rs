//! How events are sent to Splunk.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::parse;
use super::reader::Reader;
use super::settings::Setting;
use super::settings::output::{
    DEBUG, FLUSH_INTERVAL, HEC_BATCH_BYTES, HEC_BATCH_SIZE, HEC_COMPRESSION, HEC_MAX_EVENT_BYTES,
    HEC_RESPONSE, HEC_RETRIES, HEC_TIMEOUT, SKIP_SSL_VALIDATION_SPLUNK, SPLUNK_CA_FILE,
    SPLUNK_CLIENT_CERT_FILE, SPLUNK_CLIENT_KEY_FILE, SPLUNK_FAILOVER_HOST, SPLUNK_FAILOVER_TOKEN,
    SPLUNK_HOST, SPLUNK_TOKEN,
};
use super::source::identity;
use crate::hec::{Compression, FailoverConfig, ResponseMode};
use crate::tls::{ClientTls, Verification};

/// The shortest flush interval obeyed: a shorter one would make a request of every event.
const FLUSH_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// How events are sent to Splunk.
#[derive(Clone, Debug)]
pub struct HecConfig {
    /// At least one; `http` or `https`; may or may not end in `/services/collector`.
    pub urls: Vec<Url>,
    /// The HEC token.
    pub token: SecretString,
    /// Where events go while none of the URLs takes them.
    pub failover: Option<FailoverConfig>,
    /// How the server is known, and the client.
    pub tls: ClientTls,
    /// Whether requests are compressed.
    pub compression: Compression,
    /// A batch is sealed at this many bytes, before compression; at most 1,000,000.
    pub batch_bytes: usize,
    /// A batch is sealed at this many events; at least 1.
    pub batch_events: usize,
    /// A batch is sealed at this age.
    pub flush_interval: Duration,
    /// An event that would be larger is cut; at most 1,000,000.
    pub max_event_bytes: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// Attempts for one request; `None` for as many as there is room and time for.
    pub retries: Option<u32>,
    /// What counts as success.
    pub response: ResponseMode,
    /// Whether events are printed instead of sent.
    pub debug: bool,
}

impl HecConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let urls = reader.value(&SPLUNK_HOST, parse::urls);
        let token = reader.value(&SPLUNK_TOKEN, parse::token);
        let failover = read_failover(reader, token.as_ref());
        let tls = read_tls(reader);
        let compressions = [("gzip", Compression::Gzip), ("off", Compression::None)];
        let compression = reader.value(&HEC_COMPRESSION, parse::choice(&compressions));
        let batch_bytes = reader.value(&HEC_BATCH_BYTES, parse::bytes);
        let batch_events = read_batch_events(reader);
        let flush_interval = read_flush_interval(reader);
        let max_event_bytes = reader.value(&HEC_MAX_EVENT_BYTES, parse::bytes);
        let timeout = reader.value(&HEC_TIMEOUT, parse::duration);
        let retries = read_retries(reader);
        let modes = [("strict", ResponseMode::Strict), ("lenient", ResponseMode::Lenient)];
        let response = reader.value(&HEC_RESPONSE, parse::choice(&modes));
        let debug = reader.value(&DEBUG, parse::boolean);
        if debug == Some(true) {
            reader.warn(&DEBUG, "events are printed, nothing is sent to Splunk");
        }
        Some(Self {
            urls: urls?,
            token: token?,
            failover: failover?,
            tls: tls?,
            compression: compression?,
            batch_bytes: batch_bytes?,
            batch_events: batch_events?,
            flush_interval: flush_interval?,
            max_event_bytes: max_event_bytes?,
            timeout: timeout?,
            retries: retries?,
            response: response?,
            debug: debug?,
        })
    }
}

fn read_failover(reader: &mut Reader, token: Option<&SecretString>) -> Option<Option<FailoverConfig>> {
    let urls = reader.optional(&SPLUNK_FAILOVER_HOST, parse::urls);
    let own_token = reader.optional(&SPLUNK_FAILOVER_TOKEN, parse::token);
    if reader.is_given(&SPLUNK_FAILOVER_TOKEN) && !reader.is_given(&SPLUNK_FAILOVER_HOST) {
        reader.warn(&SPLUNK_FAILOVER_TOKEN, "has no effect without SPLUNK_FAILOVER_HOST");
    }
    let (urls, own_token) = (urls?, own_token?);
    let Some(urls) = urls else { return Some(None) };
    // Without either token the fault is that of SPLUNK_TOKEN.
    Some(Some(FailoverConfig { urls, token: own_token.or_else(|| token.cloned())? }))
}

fn read_tls(reader: &mut Reader) -> Option<ClientTls> {
    let verification = verification(reader, &SKIP_SSL_VALIDATION_SPLUNK);
    let ca_file = reader.optional(&SPLUNK_CA_FILE, parse::file);
    let identity = identity(reader, &SPLUNK_CLIENT_CERT_FILE, &SPLUNK_CLIENT_KEY_FILE);
    Some(ClientTls { ca_file: ca_file?, identity: identity?, verification: verification? })
}

/// Whether certificates are checked; not checking them is worth a warning each start.
pub(super) fn verification(reader: &mut Reader, skip: &'static Setting) -> Option<Verification> {
    if reader.value(skip, parse::boolean)? {
        reader.warn(skip, "certificates are not checked: anyone in between can read and change the traffic");
        return Some(Verification::Skip);
    }
    Some(Verification::Full)
}

fn read_batch_events(reader: &mut Reader) -> Option<usize> {
    let events = reader.value(&HEC_BATCH_SIZE, parse::integer)?;
    if events < 1 {
        reader.warn(&HEC_BATCH_SIZE, "is less than 1; every request will hold one event");
        reader.applies(&HEC_BATCH_SIZE, "1");
    }
    // The table's range fits; what is below it becomes 1.
    usize::try_from(events.max(1)).ok()
}

fn read_flush_interval(reader: &mut Reader) -> Option<Duration> {
    let interval = reader.value(&FLUSH_INTERVAL, parse::duration)?;
    if interval < FLUSH_INTERVAL_MIN {
        reader.warn(&FLUSH_INTERVAL, "is too short to gather events; 50ms applies");
        reader.applies(&FLUSH_INTERVAL, "50ms");
    }
    Some(interval.max(FLUSH_INTERVAL_MIN))
}

fn read_retries(reader: &mut Reader) -> Option<Option<u32>> {
    let attempts = reader.optional(&HEC_RETRIES, parse::number::<u32>)?;
    if attempts == Some(0) {
        reader.warn(&HEC_RETRIES, "0 would drop every event unsent; there is no limit instead");
        reader.applies(&HEC_RETRIES, "no limit");
    }
    Some(attempts.filter(|attempts| *attempts > 0))
}
