//! Whole runs with small plugins.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::*;
use crate::clock::UnixNanos;
use crate::eventgen::config::{End, SampleConfig};
use crate::eventgen::plugin::{
    Amount, Generator, Nature, Output, OutputError, OutputFuture, Part, Rated, Rater,
};
use crate::eventgen::testing::{NOON, meta, run_config, sample};

/// Long enough for anything that ends at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// Writes number and dice of each event; `state` counts events, for one that needs order.
struct Dice {
    is_parallel: bool,
    state: AtomicU64,
    fails: Fails,
}

#[derive(Clone, Copy, PartialEq)]
enum Fails {
    Never,
    EverySecond,
    AtOnce,
    Panics,
}

impl Generator for Dice {
    fn is_parallel(&self) -> bool {
        self.is_parallel
    }

    fn events_per_pass(&self) -> u64 {
        2500
    }

    fn generate(&self, part: &Part, out: &mut Batch) -> Result<(), GenerateError> {
        let fail = |fatal| Err(GenerateError { message: "no luck".to_owned(), fatal });
        match self.fails {
            Fails::EverySecond if part.run % 2 == 1 => return fail(false),
            Fails::AtOnce => return fail(true),
            Fails::Panics => panic!("on purpose"),
            _ => {}
        }
        let mut random = fastrand::Rng::with_seed(part.seed);
        let meta = out.meta(&Arc::new(meta()));
        let Amount::Events(events) = part.amount else { return fail(true) };
        for event in part.first..part.first + events {
            let state = if self.is_parallel { 0 } else { self.state.fetch_add(1, SeqCst) };
            let text =
                format!("{} {event} {} {state} {}\n", part.run, random.u32(..), part.earliest.0 - NOON.0);
            out.buffer().extend_from_slice(text.as_bytes());
            out.commit(part.earliest, meta);
        }
        Ok(())
    }
}

struct WholeFile;

impl Rater for WholeFile {
    fn rate(&mut self, _: UnixNanos, events_per_pass: u64, _: f64) -> Rated {
        Rated { amount: Amount::Events(events_per_pass) }
    }
}

/// What was written, by stanza.
type Written = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

struct Sink {
    stanza: String,
    written: Written,
    nature: Nature,
    behaviour: Behaviour,
    writes: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    Works,
    Stuck,
    Panics,
    ClosesAfter(u64),
    Loses,
}

impl Output for Sink {
    fn nature(&self) -> Nature {
        self.nature
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        Box::pin(async move {
            self.writes += 1;
            let lost = batch.len() as u64;
            match self.behaviour {
                Behaviour::Stuck => std::future::pending().await,
                Behaviour::Panics => panic!("on purpose"),
                Behaviour::ClosesAfter(writes) if self.writes > writes => {
                    return Err(OutputError { message: "gone".to_owned(), lost, closed: true });
                }
                Behaviour::Loses => {
                    return Err(OutputError {
                        message: "one is too long".to_owned(),
                        lost: 1,
                        closed: false,
                    });
                }
                _ => {}
            }
            if self.nature == Nature::Waiting {
                tokio::task::yield_now().await;
            }
            let mut written = self.written.lock().unwrap();
            written.entry(self.stanza.clone()).or_default().extend_from_slice(batch.text());
            Ok(())
        })
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        Box::pin(async move {
            let mut written = self.written.lock().unwrap();
            written.entry(self.stanza.clone()).or_default().extend_from_slice(b"end\n");
            Ok(())
        })
    }
}

fn registry(written: &Written) -> Registry {
    let mut registry = Registry::default();
    let generators = [
        ("dice", true, Fails::Never),
        ("serial", false, Fails::Never),
        ("fails-now-and-then", true, Fails::EverySecond),
        ("fails", true, Fails::AtOnce),
        ("panics", true, Fails::Panics),
    ];
    for (name, is_parallel, fails) in generators {
        let make = move |_: &SampleConfig| {
            Ok(Arc::new(Dice { is_parallel, state: AtomicU64::new(0), fails }) as Arc<dyn Generator>)
        };
        registry.generators.insert(name.to_owned(), Arc::new(make));
    }
    let fails = |_: &SampleConfig| Err("it cannot be made".to_owned());
    registry.generators.insert("cannot".to_owned(), Arc::new(fails));
    registry.raters.insert("config".to_owned(), Arc::new(|_| Ok(Box::new(WholeFile))));
    let outputs = [
        ("instant", Nature::Instant, Behaviour::Works),
        ("blocking", Nature::Blocking, Behaviour::Works),
        ("waiting", Nature::Waiting, Behaviour::Works),
        ("stuck", Nature::Waiting, Behaviour::Stuck),
        ("panics", Nature::Waiting, Behaviour::Panics),
        ("closes", Nature::Blocking, Behaviour::ClosesAfter(2)),
        ("loses", Nature::Instant, Behaviour::Loses),
    ];
    for (name, nature, behaviour) in outputs {
        let written = Arc::clone(written);
        let make = move |sample: &SampleConfig| {
            let stanza = sample.stanza.to_string();
            let written = Arc::clone(&written);
            Ok(Box::new(Sink { stanza, written, nature, behaviour, writes: 0 }) as Box<dyn Output>)
        };
        registry.outputs.insert(name.to_owned(), Arc::new(make));
    }
    registry
}

fn made_by(stanza: &str, generator: &str, output: &str, runs: u64) -> SampleConfig {
    SampleConfig {
        generator: generator.to_owned(),
        output: output.to_owned(),
        end: End::Runs(runs),
        ..sample(stanza, &[])
    }
}

async fn run_all(samples: Vec<SampleConfig>, workers: usize) -> (Report, BTreeMap<String, Vec<u8>>) {
    let written = Written::default();
    let mut config = run_config(samples);
    config.engine.workers = NonZeroUsize::new(workers);
    let registry = registry(&written);
    let run = run(config, &registry, Clock::starting_at(NOON), CancellationToken::new(), Progress::Off);
    let report = tokio::time::timeout(PATIENCE, run).await.unwrap();
    let written = std::mem::take(&mut *written.lock().unwrap());
    (report, written)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_gives_the_same_bytes_with_any_number_of_workers() {
    let samples = || {
        let pairs =
            [("dice", "instant"), ("dice", "blocking"), ("serial", "waiting"), ("serial", "blocking")];
        let pairs = pairs.iter().enumerate();
        pairs.map(|(at, (generator, output))| made_by(&format!("s{at}"), generator, output, 20)).collect()
    };
    let (report, one) = run_all(samples(), 1).await;
    assert_eq!(report.exit_code(), 0, "{:?}", report.lines(true));
    assert_eq!(report.made(), report.written());
    assert_eq!(report.made().events, 4 * 20 * 2500);
    for workers in [2, 8] {
        let (_, same) = run_all(samples(), workers).await;
        assert!(one == same, "other bytes with {workers} workers");
    }
    // In order, complete, and ended once.
    let text = String::from_utf8(one["s3"].clone()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[20 * 2500]), (20 * 2500 + 1, "end"));
    for (at, line) in lines[..20 * 2500].iter().enumerate() {
        let words: Vec<_> = line.split(' ').collect();
        let (run, event) = (at / 2500, at % 2500);
        let expected = [run, event, at, 0].map(|number| number.to_string());
        assert_eq!([words[0], words[1], words[3], words[4]], expected, "{line}");
    }
    // Two stanzas do not throw the same dice.
    assert_ne!(one["s0"], one["s1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_fails_alone_and_is_counted() {
    let samples = vec![
        made_by("healthy", "dice", "waiting", 10),
        made_by("now-and-then", "fails-now-and-then", "instant", 10),
        made_by("fails", "fails", "instant", 10),
        made_by("panics", "panics", "instant", 10),
        made_by("output-panics", "dice", "panics", 10),
        made_by("output-closes", "dice", "closes", 10),
        made_by("output-loses", "dice", "loses", 2),
        made_by("cannot", "cannot", "instant", 10),
        made_by("unknown", "no-such", "instant", 10),
    ];
    let (report, written) = run_all(samples, 2).await;
    assert_eq!(report.exit_code(), 1);
    let counts =
        |stanza: &str| report.samples.iter().find(|sample| &*sample.stanza == stanza).unwrap().counts.clone();
    for sample in &report.samples {
        let counts = &sample.counts;
        assert_eq!(counts.made.events, counts.written.events + counts.lost_events(), "{sample}");
    }
    assert_eq!((counts("healthy").written.events, counts("healthy").failures), (25_000, 0));
    let now_and_then = counts("now-and-then");
    assert_eq!((now_and_then.written.events, now_and_then.failures), (12_500, 15));
    assert_eq!(now_and_then.first_failure.as_deref(), Some("no luck"));
    assert_eq!((counts("fails").made.events, counts("panics").made.events), (0, 0));
    assert_eq!(counts("output-loses").lost, BTreeMap::from([(Loss::Failed, 6)]));
    let closed = counts("output-closes");
    assert_eq!((closed.written.events, closed.lost[&Loss::Failed]), (2000, 500));
    assert!(closed.runs < 10, "it went on although nothing can be written");
    assert!(counts("output-panics").lost_events() > 0);
    assert_eq!(written["healthy"].iter().filter(|byte| **byte == b'\n').count(), 25_001);
    let failed: Vec<_> = report.failed.iter().map(|failed| (&*failed.stanza, &*failed.message)).collect();
    assert_eq!(failed[0], ("cannot", "it cannot be made"));
    assert!(failed[1].1.starts_with("generator = \"no-such\" is not known: expected one of "), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_writes_what_is_made_and_gives_up_on_what_is_stuck() {
    let written = Written::default();
    let registry = registry(&written);
    let endless = |stanza, output| SampleConfig { end: End::Never, ..made_by(stanza, "dice", output, 1) };
    let config = run_config(vec![endless("flows", "blocking"), endless("stuck", "stuck")]);
    let stop = CancellationToken::new();
    // Enough for what flows, on a slow machine too.
    let last_writes = Duration::from_secs(3);
    let run = run_within(last_writes, config, &registry, Clock::system(), stop.clone(), Progress::Off);
    let watch = async {
        // Stuck with as much as may be under way, while the other one goes on.
        while written.lock().unwrap().get("flows").is_none_or(|bytes| bytes.len() < 5_000_000) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (report, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(run, watch) }).await.unwrap();
    let [flows, stuck] = &report.samples[..] else { panic!("{report:?}") };
    assert_eq!((flows.counts.lost_events(), flows.counts.made), (0, flows.counts.written));
    assert!(written.lock().unwrap()["flows"].ends_with(b"end\n"));
    assert_eq!(stuck.counts.written.events, 0);
    assert_eq!(stuck.counts.lost, BTreeMap::from([(Loss::Stopped, stuck.counts.made.events)]));
    // Bounded, however long it was stuck.
    assert!((1000..=8_000).contains(&stuck.counts.made.events), "{stuck}");
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_samples_run_side_by_side() {
    let samples = (0..2000).map(|at| made_by(&format!("s{at}"), "dice", "blocking", 1)).collect();
    let (report, written) = run_all(samples, 2).await;
    assert_eq!((report.exit_code(), written.len()), (0, 2000));
    assert_eq!(report.written().events, 2000 * 2500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_ends_at_a_time() {
    use crate::eventgen::time::Moment;
    let ends = |at: i64| SampleConfig {
        end: End::At(Moment::At(UnixNanos(NOON.0 + at * 1_000_000_000))),
        interval: Duration::from_millis(250),
        ..made_by("s", "dice", "instant", 1)
    };
    let (report, _) = run_all(vec![ends(1), ends(0), ends(-1)], 1).await;
    let runs: Vec<_> = report.samples.iter().map(|sample| sample.counts.runs).collect();
    assert_eq!(runs, [4, 0, 0]);
}
