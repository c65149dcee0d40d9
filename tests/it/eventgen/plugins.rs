//! The example of plugins of one's own, run in this process.

#[path = "../../../examples/eventgen_plugin.rs"]
#[allow(dead_code, reason = "its main is not called here")]
mod example;

use std::fs;

use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::eventgen::conf::{self, Request};
use firehose_nozzle::eventgen::engine;
use firehose_nozzle::eventgen::plugin::Registry;
use firehose_nozzle::eventgen::progress::Progress;
use firehose_nozzle::eventgen::time::Clock;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_of_ones_own_run_with_their_settings() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("heartbeat.conf");
    let conf = "[heartbeat]\ngenerator = heartbeat\nrater = office\noutputMode = shout\ntext = still here\n\
                count = 2\ninterval = 0.01\nend = 3\ntimezone = UTC\n";
    fs::write(&file, conf).unwrap();
    let mut registry = Registry::default();
    example::register(&mut registry);
    let request = Request { target: file, working_dir: directory.path().to_owned(), ..Request::default() };
    let (run, findings) = conf::load(&request, &registry);
    assert!(findings.is_empty(), "{findings:?}");
    // At noon the office is open, at night it is not.
    for (hour, events) in [(12, 6), (23, 3)] {
        let clock = Clock::starting_at(UnixNanos(hour * 3_600_000_000_000));
        let stop = CancellationToken::new();
        let report = engine::run(run.clone().unwrap(), &registry, clock, stop, Progress::Off).await;
        assert_eq!((report.exit_code(), report.written().events), (0, events), "{report:?}");
    }
}
