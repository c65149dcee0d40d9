//! Measures what each gzip level costs and saves on request bodies.
//!
//! ```text
//! cargo run --release --example hec_gzip_levels [FILE]
//! ```
//!
//! FILE holds events as they are sent, one after another; without it, log lines with varying
//! ids, times and numbers are made up.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use flate2::{Compress, Compression, FlushCompress};

/// Bytes of a request body.
const BODY_BYTES: usize = 512 * 1024;

/// Bodies compressed for one figure.
const ROUNDS: u32 = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let events = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => invented(),
    };
    let bodies: Vec<&[u8]> = events.chunks(BODY_BYTES).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "level   ratio   ns per 500 bytes")?;
    for level in 1..=6 {
        let mut deflate = Compress::new_gzip(Compression::new(level), 15);
        let mut wire = Vec::with_capacity(2 * BODY_BYTES);
        let (mut raw, mut sent) = (0, 0);
        let start = Instant::now();
        for body in bodies.iter().cycle().take(ROUNDS as usize) {
            deflate.reset();
            wire.clear();
            deflate.compress_vec(body, &mut wire, FlushCompress::Finish)?;
            raw += body.len();
            sent += wire.len();
        }
        let nanos = start.elapsed().as_nanos();
        writeln!(out, "{level:5} {:7.1} {:18}", raw as f64 / sent as f64, nanos * 500 / raw as u128)?;
    }
    Ok(())
}

/// Events like those of a foundation: few kinds of lines, few apps, everything else varies.
fn invented() -> Vec<u8> {
    let mut chance = fastrand::Rng::with_seed(1);
    let apps: Vec<u128> = (0..40).map(|_| chance.u128(..)).collect();
    let paths =
        ["/api/v2/orders", "/api/v2/customers", "/static/app.js", "/login", "/health", "/api/v2/search?q="];
    let classes = ["OrderService", "CustomerRepository", "PaymentGateway", "HttpClient", "Scheduler"];
    let mut events = String::new();
    let mut now: u64 = 1_767_225_600_000_000_000;
    while events.len() < 8 * BODY_BYTES {
        now += chance.u64(1_000..3_000_000);
        let app = chance.usize(..apps.len());
        let id = chance.u64(..);
        let line = match chance.u8(..3) {
            0 => format!(
                "10.0.{}.{} - - \\\"GET {}/{} HTTP/1.1\\\" {} {} {:x}",
                chance.u8(..),
                chance.u8(..),
                paths[chance.usize(..paths.len())],
                id % 1_000_000,
                [200, 200, 200, 304, 404, 500][chance.usize(..6)],
                chance.u32(100..90_000),
                chance.u64(..)
            ),
            1 => format!(
                "INFO [{id:016x}] --- [nio-8080-exec-{}] c.e.s.{} : handled request {} in {} ms",
                chance.u8(1..20),
                classes[chance.usize(..classes.len())],
                chance.u32(..),
                chance.u16(..2000)
            ),
            _ => format!(
                "level=warn trace={id:x} class={} attempt={} msg=\\\"slow query, {} rows\\\"",
                classes[chance.usize(..classes.len())],
                chance.u8(1..5),
                chance.u32(..100_000)
            ),
        };
        let _ = write!(
            events,
            r#"{{"time":{}.{:09},"host":"10.0.16.{}","source":"app-{app}","sourcetype":"cf:logmessage","index":"main","event":{{"cf_app_id":"{:032x}","cf_app_name":"app-{app}","cf_org_name":"org-{}","cf_space_name":"prod","event_type":"LogMessage","message_type":"OUT","msg":"{line}","source_instance":"{}","source_type":"APP/PROC/WEB","timestamp":{now}}}}}"#,
            now / 1_000_000_000,
            now % 1_000_000_000,
            app % 12,
            apps[app],
            app % 7,
            app % 4,
        );
    }
    events.into_bytes()
}
