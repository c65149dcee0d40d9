//! Own events against the recorded ones, and their bounds.

use serde_json::{Map, Value as Json, json};
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;

use super::ledger::OwnDrop;
use super::metrics::Value;
use super::tap::Line;
use super::*;

/// The recorded events of a kind, with the environment they were made in.
fn recorded(kind: &str) -> Vec<(Json, Json)> {
    let text = include_str!("../../../tests/golden/nozzle/own-events.json");
    let cases: Vec<Json> = serde_json::from_str(text).unwrap();
    let cases = cases.into_iter().filter(|case| case["kind"] == kind);
    cases.map(|case| (case["config"].clone(), case["hec_event"].clone())).collect()
}

fn time(event: &Json) -> UnixNanos {
    UnixNanos(event["time"].as_str().unwrap().replace('.', "").parse().unwrap())
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Json {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

/// Members of an object, without its braces.
fn members(object: Option<&Json>) -> String {
    let text = object.map(Json::to_string).unwrap_or_default();
    text.trim_start_matches('{').trim_end_matches('}').to_owned()
}

#[test]
fn log_lines_have_the_recorded_shape() {
    let cases = recorded("log");
    assert_eq!(cases.len(), 3);
    for (config, expected) in cases {
        let event = &expected["event"];
        let message = event["message"].as_str().unwrap().strip_prefix("splunk-nozzle-logger.").unwrap();
        let level = [Level::DEBUG, Level::INFO, Level::ERROR][event["log_level"].as_u64().unwrap() as usize];
        let line = Line {
            time: time(&expected),
            level,
            message: message.to_owned(),
            data: members(event.get("data")),
        };
        let place = Place::new(
            config["JOB_HOST"].as_str().unwrap(),
            None,
            config["SPLUNK_LOGGING_INDEX"].as_str().unwrap(),
        );
        assert_eq!(written(|out| event::log_line(out, &place, &line)), expected);
    }
}

#[test]
fn metrics_have_the_recorded_shape() {
    let cases = recorded("metric");
    assert_eq!(cases.len(), 2);
    for (config, expected) in cases {
        let values = expected["fields"].as_object().unwrap().iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("metric_name:")?;
            let name = MetricSet::names().find(|known| *known == name).expect("its names are ours");
            let value = value.as_u64().map(Value::Count).or_else(|| value.as_f64().map(Value::Share));
            Some((name, value.unwrap()))
        });
        let measured = Measured { time: time(&expected), values: values.collect() };
        let place = Place::new("", None, config["SPLUNK_METRIC_INDEX"].as_str().unwrap());
        let instance = config["INSTANCE_INDEX"].as_str();
        assert_eq!(written(|out| event::metrics(out, &place, instance, &measured)), expected);
        // Elsewhere than on the platform there is no instance.
        let without = written(|out| event::metrics(out, &place, None, &measured));
        let mut fields = expected["fields"].clone();
        fields.as_object_mut().unwrap().remove("instance_index");
        assert_eq!(without["fields"], fields);
    }
}

#[test]
fn names_of_metrics_are_the_recorded_ones_first_and_fit_splunk() {
    let names: Vec<_> = MetricSet::names().collect();
    let recorded: Vec<_> = GO_METRICS.split(',').collect();
    assert_eq!(names[..recorded.len()], recorded);
    for name in &names {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.'), "{name}");
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
    }
    let mut all = MetricSet::NONE;
    assert!(names.iter().all(|name| all.add(name)));
    assert_eq!(all, MetricSet::ALL);
    assert!(!all.add("nozzle.queue.percent"));
}

/// Lets a log write into a tap.
fn logged(log: impl FnOnce()) -> Lines {
    let (tap, lines) = tap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(tap), log);
    lines
}

impl Lines {
    /// The next one as an event.
    fn take(&mut self) -> Option<Map<String, Json>> {
        let line = futures_util::FutureExt::now_or_never(tokio::task::unconstrained(self.exit.next()))??;
        let event = written(|out| event::log_line(out, &Place::new("host", None, "index"), &line));
        Some(event["event"].as_object().unwrap().clone())
    }
}

#[tokio::test]
async fn lines_keep_level_message_and_fields() {
    let mut lines = logged(|| {
        tracing::error!(envelopes = 3, reason = "queue_full", "envelopes dropped");
        tracing::warn!(setting = "HEC_RETRIES", "look at a setting");
        tracing::info!("stopping");
        tracing::debug!(ledger.json = %"{\"received\":1}", "details");
        tracing::info!(target: "hyper::client", "of a library");
    });
    for (message, level, data) in [
        ("envelopes dropped", 2, json!({ "envelopes": 3, "reason": "queue_full" })),
        ("look at a setting", 2, json!({ "setting": "HEC_RETRIES", "level": "warn" })),
        ("stopping", 1, Json::Null),
        ("details", 0, json!({ "ledger": { "received": 1 } })),
    ] {
        let event = lines.take().unwrap();
        assert_eq!(event["message"], format!("splunk-nozzle-logger.{message}"));
        assert_eq!(event["log_level"], level, "{message}");
        assert_eq!(event.get("data").cloned().unwrap_or_default(), data, "{message}");
    }
    assert!(lines.take().is_none(), "lines of libraries are none");
}

#[tokio::test(start_paused = true)]
async fn of_what_is_logged_while_own_events_are_delivered_few_become_some() {
    let (tap, mut lines) = tap();
    let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(tap));
    for passed in [6, 1] {
        lane::delivering(async {
            for _ in 0..50 {
                tracing::error!("it does not work");
                tokio::task::yield_now().await;
            }
        })
        .await;
        tracing::error!("something else");
        let lines: Vec<_> = std::iter::from_fn(|| lines.take()).collect();
        assert_eq!(lines.len(), passed + 1);
        assert_eq!(lines[passed]["message"], "splunk-nozzle-logger.something else");
        assert_eq!(lines[passed]["data"]["lines_missed_before"], 50 - passed);
        tokio::time::advance(Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn lines_that_do_not_fit_are_counted_and_the_next_one_tells() {
    let text = "x".repeat(15 << 10);
    let (tap, mut lines) = tap();
    let ledger = Arc::clone(lines.ledger());
    let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(tap));
    for _ in 0..30 {
        tracing::info!(text, "a long line");
    }
    let full = ledger.status();
    let kept = u64::try_from(full.waiting).unwrap();
    assert!((10..30).contains(&kept), "{full:?}");
    assert_eq!(full.dropped, [(OwnDrop::BufferFull.label().to_owned(), 30 - kept)].into());
    assert!(full.is_balanced() && full.written == 30, "{full:?}");
    // Two are taken out; then there is room for a short one.
    assert!(lines.take().is_some() && lines.take().is_some());
    tracing::info!("a short line");
    tracing::info!("another");
    let rest: Vec<_> = std::iter::from_fn(|| lines.take()).collect();
    let [.., short, another] = &rest[..] else { panic!("{rest:?}") };
    assert_eq!(short["data"], json!({ "lines_missed_before": 30 - kept }));
    assert_eq!(another.get("data"), None);
    assert_eq!(rest.len() as u64, kept);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_lines_is_cut() {
    let mut lines = logged(|| (0..2000).for_each(|_| tracing::info!("again")));
    let status = lines.ledger().status();
    assert_eq!(status.dropped, [(OwnDrop::Rate.label().to_owned(), 1500)].into());
    assert_eq!(std::iter::from_fn(|| lines.take()).count(), 500);
}

#[tokio::test]
async fn a_line_is_cut_to_size() {
    let mut lines = logged(|| {
        tracing::info!(text = "x".repeat(17 << 10), "{}", "ü".repeat(3 << 10));
    });
    let event = lines.take().unwrap();
    assert_eq!(event["message"].as_str().unwrap().len(), "splunk-nozzle-logger.".len() + (4 << 10));
    assert!(event["data"]["fields_left_out_bytes"].as_u64() > Some(17 << 10));
}

#[tokio::test]
async fn what_nobody_takes_is_counted_and_the_log_goes_on() {
    let (tap, lines) = tap();
    let ledger = Arc::clone(lines.ledger());
    let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(tap));
    tracing::info!("one");
    drop(lines);
    tracing::info!("two");
    let status = ledger.status();
    assert_eq!((status.written, status.waiting), (1, 0));
    assert_eq!(status.dropped, [(OwnDrop::Shutdown.label().to_owned(), 1)].into());
}

#[test]
fn the_flush_takes_a_small_part_of_what_is_left() {
    let seconds = Duration::from_secs;
    let in_time = |left| Some(Instant::now() + left);
    for (timeout, deadline, most) in [
        (seconds(8), None, seconds(1)),
        (seconds(8), in_time(seconds(7)), seconds(1)),
        (seconds(4), in_time(seconds(3)), Duration::from_millis(500)),
        (seconds(8), in_time(Duration::from_millis(500)), Duration::from_millis(300)),
        (seconds(8), in_time(Duration::ZERO), Duration::ZERO),
        (Duration::from_hours(1), None, seconds(1)),
    ] {
        let budget = flush_budget(timeout, deadline);
        assert!(budget <= most, "{timeout:?} {deadline:?}: {budget:?}");
        assert!(deadline.is_some() || budget == most, "{budget:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_end_all_is_counted_even_if_a_task_does_not_come_to_it() {
    let ledger = Arc::new(OwnLedger::default());
    (0..3).for_each(|_| ledger.kept());
    ledger.printed(1);
    let mut tasks = Tasks::new();
    tasks.spawn("stuck", std::future::pending());
    let (close, stop) = (CancellationToken::new(), CancellationToken::new());
    let own = OwnEvents { tasks, close, stop, ledger };
    let status = own.finish(Duration::ZERO).await;
    assert!(status.is_balanced(), "{status:?}");
    assert_eq!((status.waiting, status.delivered), (0, 1));
    assert_eq!(status.dropped, [("shutdown".to_owned(), 2)].into());
}
