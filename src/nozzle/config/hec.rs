//! How events are sent to Splunk.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::parse;
use super::reader::Reader;
use super::settings::Setting;
use super::settings::output::{
    DEAD_LETTER_DIR, DEAD_LETTER_MAX_BYTES, DEBUG, FLUSH_INTERVAL, HEC_ACK, HEC_ACK_TIMEOUT, HEC_BATCH_BYTES,
    HEC_BATCH_SIZE, HEC_COMPRESSION, HEC_MAX_EVENT_BYTES, HEC_OVERSIZE, HEC_RESPONSE, HEC_RETRIES,
    HEC_TIMEOUT, SKIP_SSL_VALIDATION_SPLUNK, SPLUNK_CA_FILE, SPLUNK_CLIENT_CERT_FILE, SPLUNK_CLIENT_KEY_FILE,
    SPLUNK_FAILOVER_HOST, SPLUNK_FAILOVER_TOKEN, SPLUNK_FAILOVER_TOKEN_FILE, SPLUNK_FALLBACK_INDEX,
    SPLUNK_HOST, SPLUNK_TOKEN, SPLUNK_TOKEN_FILE,
};
use super::source::identity;
use crate::hec::{AckConfig, AckMode, Compression, FailoverConfig, ResponseMode, TokenSource};
use crate::nozzle::encode::Oversize;
use crate::tls::{ClientTls, Verification};

/// The shortest flush interval obeyed: a shorter one would make a request of every event.
const FLUSH_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// How events are sent to Splunk.
#[derive(Clone, Debug)]
pub struct HecConfig {
    /// At least one; `http` or `https`; may or may not end in `/services/collector`.
    pub urls: Vec<Url>,
    /// The HEC token, or the file that holds it.
    pub token: TokenSource,
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
    /// The largest event; at most 1,000,000.
    pub max_event_bytes: usize,
    /// What happens to a larger one.
    pub oversize: Oversize,
    /// Where events of a refused index go; `None`: to the dead letters.
    pub fallback_index: Option<String>,
    /// Where events go that HEC refuses for what they are; `None`: they are counted.
    pub dead_letters: Option<DeadLetterConfig>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Attempts for one request; `None` for as many as there is room and time for.
    pub retries: Option<u32>,
    /// What counts as success.
    pub response: ResponseMode,
    /// Whether indexers have to confirm what the HEC took.
    pub acks: AckConfig,
    /// Whether events are printed instead of sent.
    pub debug: bool,
}

/// Where events go that HEC refuses for what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterConfig {
    /// A folder that exists.
    pub folder: PathBuf,
    /// The most bytes of files in it.
    pub max_bytes: u64,
}

impl HecConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let urls = reader.value(&SPLUNK_HOST, parse::urls);
        let token = read_token(reader);
        let failover = read_failover(reader, token.as_ref());
        let fallback_index = reader.optional(&SPLUNK_FALLBACK_INDEX, parse::word);
        let dead_letters = read_dead_letters(reader);
        let tls = read_tls(reader);
        let compressions = [("gzip", Compression::Gzip), ("off", Compression::None)];
        let compression = reader.value(&HEC_COMPRESSION, parse::choice(&compressions));
        let batch_bytes = reader.value(&HEC_BATCH_BYTES, parse::bytes);
        let batch_events = read_batch_events(reader);
        let flush_interval = read_flush_interval(reader);
        let max_event_bytes = reader.value(&HEC_MAX_EVENT_BYTES, parse::bytes);
        let oversizes =
            [("truncate", Oversize::Truncate), ("split", Oversize::Split), ("drop", Oversize::Drop)];
        let oversize = reader.value(&HEC_OVERSIZE, parse::choice(&oversizes));
        let timeout = reader.value(&HEC_TIMEOUT, parse::duration);
        let retries = read_retries(reader);
        let modes = [("strict", ResponseMode::Strict), ("lenient", ResponseMode::Lenient)];
        let response = reader.value(&HEC_RESPONSE, parse::choice(&modes));
        let acks = read_acks(reader);
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
            oversize: oversize?,
            fallback_index: fallback_index?,
            dead_letters: dead_letters?,
            timeout: timeout?,
            retries: retries?,
            response: response?,
            acks: acks?,
            debug: debug?,
        })
    }
}

fn read_token(reader: &mut Reader) -> Option<TokenSource> {
    let token = token_source(reader, &SPLUNK_TOKEN, &SPLUNK_TOKEN_FILE)?;
    if token.is_none() {
        reader.missing(&SPLUNK_TOKEN, "it is required, unless SPLUNK_TOKEN_FILE is given");
    }
    token
}

/// A token by itself or in a file, if there is either.
fn token_source(
    reader: &mut Reader,
    token: &'static Setting,
    file: &'static Setting,
) -> Option<Option<TokenSource>> {
    let (by_itself, in_file) = (reader.optional(token, parse::token), reader.optional(file, parse::file));
    match (by_itself?, in_file?) {
        (by_itself, Some(path)) => {
            if by_itself.is_some() {
                reader.warn(token, format!("has no effect: {} is given too", file.name));
            }
            Some(Some(TokenSource::File(path)))
        }
        (by_itself, None) => Some(by_itself.map(TokenSource::Fixed)),
    }
}

fn read_failover(reader: &mut Reader, token: Option<&TokenSource>) -> Option<Option<FailoverConfig>> {
    let urls = reader.optional(&SPLUNK_FAILOVER_HOST, parse::urls);
    let own_token = token_source(reader, &SPLUNK_FAILOVER_TOKEN, &SPLUNK_FAILOVER_TOKEN_FILE);
    for setting in [&SPLUNK_FAILOVER_TOKEN, &SPLUNK_FAILOVER_TOKEN_FILE] {
        if reader.is_given(setting) && !reader.is_given(&SPLUNK_FAILOVER_HOST) {
            reader.warn(setting, "has no effect without SPLUNK_FAILOVER_HOST");
        }
    }
    let (urls, own_token) = (urls?, own_token?);
    let Some(urls) = urls else { return Some(None) };
    // Without either token the fault is that of SPLUNK_TOKEN.
    Some(Some(FailoverConfig { urls, token: own_token.or_else(|| token.cloned())? }))
}

fn read_dead_letters(reader: &mut Reader) -> Option<Option<DeadLetterConfig>> {
    let folder = reader.optional(&DEAD_LETTER_DIR, parse::folder);
    let max_bytes = reader.value(&DEAD_LETTER_MAX_BYTES, parse::bytes);
    let (folder, max_bytes) = (folder?, max_bytes? as u64);
    if folder.is_none() && reader.is_given(&DEAD_LETTER_MAX_BYTES) {
        reader.warn(&DEAD_LETTER_MAX_BYTES, "has no effect without DEAD_LETTER_DIR");
    }
    Some(folder.map(|folder| DeadLetterConfig { folder, max_bytes }))
}

fn read_acks(reader: &mut Reader) -> Option<AckConfig> {
    let modes = [("auto", AckMode::Auto), ("required", AckMode::Required), ("off", AckMode::Off)];
    let mode = reader.value(&HEC_ACK, parse::choice(&modes));
    let timeout = reader.value(&HEC_ACK_TIMEOUT, parse::duration);
    let (mode, timeout) = (mode?, timeout?);
    if mode == AckMode::Off && reader.is_given(&HEC_ACK_TIMEOUT) {
        reader.warn(&HEC_ACK_TIMEOUT, "has no effect: HEC_ACK is off");
    }
    Some(AckConfig { mode, timeout, ..AckConfig::default() })
}

fn read_tls(reader: &mut Reader) -> Option<ClientTls> {
    let verification = verification(reader, &SKIP_SSL_VALIDATION_SPLUNK);
    let ca_file = reader.optional(&SPLUNK_CA_FILE, parse::file);
    let identity = identity(reader, &SPLUNK_CLIENT_CERT_FILE, &SPLUNK_CLIENT_KEY_FILE, parse::file);
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
