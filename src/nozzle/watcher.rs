//! Says in the log what the ledger counts: losses loudly, the flow once a minute.
//!
//! Stages count and never log; this task looks at the counters at a fixed pace, so that no loss is
//! silent and no flood of losses floods the log.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::nozzle::deliver::SpoolStatus;
use crate::nozzle::ledger::{Drop as DropReason, Filter, Snapshot};
use crate::nozzle::own::ECHO_PER_SECOND;
use crate::nozzle::status::{Status, StatusView};
use crate::nozzle::upstream::Loss;

/// How often losses are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Every how many looks the flow is logged.
const LOOKS_PER_SUMMARY: u32 = 6;

/// Looks at the ledger until `stop`, and once more then.
pub async fn run(view: StatusView, stop: CancellationToken) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = view.get();
    let mut summary = seen.ledger.clone();
    let mut looks = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let now = view.get();
        report(&seen, &now);
        report_upstream(&seen.upstream, &now.upstream);
        report_dead_letters(&seen, &now);
        report_spool(seen.spool.as_ref(), now.spool.as_ref());
        seen = now;
        looks += 1;
        if u32::is_multiple_of(looks, LOOKS_PER_SUMMARY) {
            flow(&summary, &seen);
            summary = seen.ledger.clone();
            seen.spool.as_ref().filter(|spool| spool.batches > 0).inspect(|spool| tell_of_spool(spool));
        }
    }
    report(&seen, &view.get());
}

/// Logs what the platform says it lost between two looks.
fn report_upstream(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) {
    for (place, envelopes) in increase(before, after) {
        let next_step = Loss::ALL.iter().find(|loss| loss.label() == place).map(|loss| loss.next_step());
        tracing::warn!(%place, envelopes, next_step, "loggregator says it lost envelopes before they could be read");
    }
}

/// Logs what was lost, refused or could not be read between two looks.
fn report(before: &Status, after: &Status) {
    let dead_letters = after.dead_letters.as_ref().map(|letters| letters.folder.display().to_string());
    let spool = after.spool.as_ref();
    let (before, after) = (&before.ledger, &after.ledger);
    for (reason, envelopes) in increase(&before.dropped, &after.dropped) {
        let next_step = next_step(&reason, spool);
        tracing::error!(%reason, envelopes, next_step, "envelopes dropped");
    }
    let unconfirmed = after.unconfirmed.saturating_sub(before.unconfirmed);
    if unconfirmed > 0 {
        tracing::warn!(
            envelopes = unconfirmed,
            next_step = "see hec.acks in /status.json; set HEC_ACK=off if acks are not wanted",
            "splunk took envelopes that no indexer has confirmed"
        );
    }
    for (code, envelopes) in increase(&before.rejected, &after.rejected) {
        let next_step = rejected_next_step(&code);
        let dead_letters = dead_letters.as_deref().unwrap_or("set DEAD_LETTER_DIR to keep them");
        tracing::error!(%code, envelopes, next_step, dead_letters, "splunk refused events for what they are");
    }
    for (kind, frames) in increase(&before.malformed, &after.malformed) {
        tracing::warn!(%kind, frames, "frames or envelopes could not be decoded");
    }
    let left_out = after.metrics_left_out.saturating_sub(before.metrics_left_out);
    if left_out > 0 {
        tracing::warn!(
            metrics = left_out,
            next_step = "find the component that emits gauges of more than 1,000 metrics, or of megabytes",
            "metrics of very large gauges were left out"
        );
    }
    let own_lines =
        |snapshot: &Snapshot| snapshot.filtered.get(Filter::OwnLines.label()).copied().unwrap_or(0);
    let echo = own_lines(after).saturating_sub(own_lines(before));
    if echo > 0 {
        tracing::warn!(
            lines = echo,
            per_second = ECHO_PER_SECOND,
            next_step = "see what the nozzle logs so much of; lower LOG_LEVEL, set DEBUG to false",
            "more log lines of the nozzle itself came back through the firehose than pass"
        );
    }
    let unenriched = after.unenriched.saturating_sub(before.unenriched);
    if unenriched > 0 {
        tracing::warn!(
            events = unenriched,
            next_step = "see metadata in /status.json: with away or failures, look for their warnings; without, raise METADATA_RATE or METADATA_WAIT",
            "events went out without a look-up of their app, or of the index in its environment: names come from tags only or its own index was not applied, nor its muting if the app is not known"
        );
    }
}

/// Logs dead letters that could not be written between two looks.
fn report_dead_letters(before: &Status, after: &Status) {
    let Some(letters) = &after.dead_letters else { return };
    let earlier = before.dead_letters.as_ref().map_or(0, |letters| letters.failed);
    let events = letters.failed.saturating_sub(earlier);
    if events > 0 {
        tracing::error!(
            events,
            folder = %letters.folder.display(),
            error = letters.last_error,
            next_step = "see that DEAD_LETTER_DIR is there, may be written to, and has room",
            "refused events could not be written to the dead letters"
        );
    }
}

/// Logs that the spool has come into use, or is empty again.
fn report_spool(before: Option<&SpoolStatus>, after: Option<&SpoolStatus>) {
    let Some(after) = after else { return };
    let batches = before.map_or(0, |before| before.batches);
    match (batches, after.batches) {
        (0, 1..) => tell_of_spool(after),
        (1.., 0) => tracing::info!("the disk spool is empty again"),
        _ => {}
    }
}

fn tell_of_spool(spool: &SpoolStatus) {
    let oldest_s = spool.oldest_seconds();
    tracing::warn!(
        batches = spool.batches,
        envelopes = spool.envelopes,
        bytes = spool.bytes,
        max_bytes = spool.max_bytes,
        oldest_s,
        trouble = spool.trouble,
        next_step = "splunk is away or takes less than comes in: see hec in /status.json",
        "the disk spool holds {} batches, the oldest for {} s",
        spool.batches,
        oldest_s.unwrap_or(0)
    );
}

fn increase(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let earlier = |reason: &String| before.get(reason).copied().unwrap_or_default();
    after
        .iter()
        .map(|(reason, n)| (reason.clone(), n.saturating_sub(earlier(reason))))
        .filter(|(_, n)| *n > 0)
        .collect()
}

/// What to do about envelopes that were dropped, by their label in the ledger.
fn next_step(reason: &str, spool: Option<&SpoolStatus>) -> &'static str {
    let known = DropReason::ALL.iter().find(|known| known.label() == reason);
    match known {
        Some(DropReason::QueueFull) => {
            "the workers lack CPU: add instances or CPU, or raise QUEUE_MAX_BYTES for spikes; with QUEUE_WHEN_FULL=block they wait for splunk: see delivery in /status.json"
        }
        Some(DropReason::DeliveryFull) => match spool {
            None => {
                "splunk takes less than comes in: see hec, and delivery.shed for the apps that lost most, in /status.json; add HEC capacity, raise DELIVERY_MAX_BYTES, or set SPOOL_DIR"
            }
            Some(spool) if spool.trouble.is_some() => {
                "splunk takes less than comes in, and the disk spool cannot be used: see spool.trouble and hec in /status.json"
            }
            Some(_) => {
                "more comes in at once than splunk and the disk of SPOOL_DIR take: see hec, spool, and delivery.shed for the apps that lost most, in /status.json; raise DELIVERY_MAX_BYTES for spikes"
            }
        },
        Some(DropReason::Oversize) => {
            "events are larger than HEC_MAX_EVENT_BYTES: raise it, or set HEC_OVERSIZE to truncate or split"
        }
        Some(DropReason::RetriesExhausted) => "remove HEC_RETRIES to keep trying while there is room",
        Some(DropReason::Shutdown) => {
            "splunk did not take all within SHUTDOWN_TIMEOUT: see the lines before for the reason, and raise it as far as the platform waits"
        }
        Some(DropReason::SpoolFull) => {
            "splunk has been away for longer than SPOOL_MAX_BYTES bridges: see spool and hec in /status.json; give the spool more disk"
        }
        Some(DropReason::SpoolDamaged) => {
            "see to the disk of SPOOL_DIR: what was written there cannot be read"
        }
        Some(DropReason::EphemeralDisk) => {
            "the disk of this container dies with it: bind a volume service and put SPOOL_DIR there"
        }
        Some(DropReason::Defect) | None => "a defect of the nozzle: please report it with the log",
    }
}

/// What to do about events that were refused, by their label in the ledger.
fn rejected_next_step(code: &str) -> &'static str {
    match code {
        "code_7" => {
            "see the line that names the index; create it, allow it for the token, or set SPLUNK_FALLBACK_INDEX"
        }
        "code_6" => {
            "see a sample in the log: if its bytes are many, lower HEC_MAX_EVENT_BYTES or raise maxEventSize of Splunk; else report it"
        }
        "http_413" => {
            "lower HEC_MAX_EVENT_BYTES, or raise the limit on bodies of the gateway in front of the HEC"
        }
        _ if code.starts_with("http_") => {
            "it is not the HEC that refuses them: look into the log of the gateway in front of it"
        }
        _ => "see a sample in the log, and report it: the nozzle should make no such events",
    }
}

/// Logs how much went through.
fn flow(before: &Snapshot, status: &Status) {
    let ledger = &status.ledger;
    tracing::info!(
        received = ledger.received.saturating_sub(before.received),
        delivered = ledger.delivered.saturating_sub(before.delivered),
        unconfirmed = ledger.unconfirmed.saturating_sub(before.unconfirmed),
        filtered = sum(&ledger.filtered).saturating_sub(sum(&before.filtered)),
        dropped = ledger.lost().saturating_sub(before.lost()),
        rejected = sum(&ledger.rejected).saturating_sub(sum(&before.rejected)),
        buffered = ledger.buffered(),
        queue_bytes = status.queue.bytes,
        delivery_bytes = status.delivery.bytes,
        streams = status.source.connected,
        "the last minute"
    );
}

fn sum(rows: &BTreeMap<String, u64>) -> u64 {
    rows.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nozzle::deliver::SpoolSettings;

    #[test]
    fn what_to_do_when_there_is_no_room_depends_on_the_disk() {
        let settings = SpoolSettings { folder: "/spool".into(), max_bytes: 1 << 30, persistent: true };
        let well = SpoolStatus::new(&settings);
        let ill = SpoolStatus { trouble: Some("No space left on device".to_owned()), ..well.clone() };
        for (spool, expected) in [
            (None, "set SPOOL_DIR"),
            (Some(&well), "raise DELIVERY_MAX_BYTES"),
            (Some(&ill), "spool.trouble"),
        ] {
            let next_step = next_step(DropReason::DeliveryFull.label(), spool);
            assert!(next_step.contains(expected), "{next_step}");
        }
    }
}
