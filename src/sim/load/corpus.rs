//! Log lines as apps write them: access logs, Spring, logfmt, Rails, stack traces, JSON.
//!
//! Ids, numbers and words differ from line to line, so that the lines compress like real ones;
//! a longer line has more content, never padding. No line holds the mark of a sequence number
//! but the one it is given.

use bytes::BufMut;
use fastrand::Rng;
use time::OffsetDateTime;

use super::sequence;

const METHODS: [&str; 6] = ["GET", "GET", "GET", "POST", "PUT", "DELETE"];
const PATHS: [&str; 10] = [
    "/api/v1/orders/",
    "/api/v1/customers/",
    "/api/v2/inventory/items/",
    "/cart/",
    "/checkout/sessions/",
    "/static/js/chunk-",
    "/search/suggest/",
    "/internal/health/",
    "/oauth/callback/",
    "/reports/daily/",
];
const STATUSES: [&str; 10] = ["200", "200", "200", "200", "201", "204", "302", "304", "404", "500"];
const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
    "curl/8.11.1",
];
const LOGGERS: [&str; 7] = [
    "c.e.checkout.OrderService",
    "c.e.inventory.StockRepository",
    "o.s.web.servlet.DispatcherServlet",
    "o.a.kafka.clients.NetworkClient",
    "com.zaxxer.hikari.pool.HikariPool",
    "c.e.payments.PaymentGateway",
    "o.h.engine.jdbc.spi.SqlExceptionHelper",
];
const LEVELS: [&str; 6] = ["INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"];
const COMPONENTS: [&str; 6] = ["inventory", "pricing", "scheduler", "mailer", "sessions", "search-index"];
const VERBS: [&str; 8] =
    ["refreshed", "evicted", "scheduled", "retried", "accepted", "rejected", "flushed", "merged"];
const NOUNS: [&str; 8] = ["order", "customer", "shipment", "voucher", "session", "invoice", "batch", "page"];
const EXCEPTIONS: [&str; 5] = [
    "java.lang.IllegalStateException: connection pool exhausted",
    "java.net.SocketTimeoutException: Read timed out",
    "org.springframework.dao.DuplicateKeyException: duplicate key value violates unique constraint",
    "com.fasterxml.jackson.core.JsonParseException: Unexpected character",
    "java.util.concurrent.TimeoutException: no answer from upstream",
];
const FRAMES: [&str; 7] = [
    "com.example.checkout.OrderService.place(OrderService.java:",
    "com.example.checkout.OrderController.post(OrderController.java:",
    "org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:",
    "org.apache.catalina.core.ApplicationFilterChain.doFilter(ApplicationFilterChain.java:",
    "org.apache.tomcat.util.net.NioEndpoint$SocketProcessor.doRun(NioEndpoint.java:",
    "com.zaxxer.hikari.pool.HikariPool.getConnection(HikariPool.java:",
    "io.netty.channel.nio.NioEventLoop.processSelectedKeys(NioEventLoop.java:",
];

/// What a line is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Text,
    Json,
    Trace,
}

/// The mark of one line.
#[derive(Clone, Copy)]
pub(super) struct Mark<'a> {
    pub(super) sequence: u64,
    pub(super) run: &'a str,
}

/// The moment lines are written, formatted once a second.
#[derive(Debug)]
pub(super) struct Clock {
    second: i64,
    nanos: u32,
    /// `2026-11-22T06:21:02`
    iso: String,
    /// `22/Nov/2026:06:21:02 +0000`
    common: String,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { second: i64::MIN, nanos: 0, iso: String::new(), common: String::new() }
    }

    pub(super) fn set(&mut self, unix_nanos: i64) {
        const SECOND: i64 = 1_000_000_000;
        self.nanos = u32::try_from(unix_nanos.rem_euclid(SECOND)).unwrap_or_default();
        let second = unix_nanos.div_euclid(SECOND);
        if second == self.second {
            return;
        }
        self.second = second;
        let moment = OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = (moment.year(), moment.month(), moment.day());
        let (hour, minute, second) = (moment.hour(), moment.minute(), moment.second());
        self.iso = format!("{year}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", u8::from(month));
        let month = month.to_string();
        let month = month.get(..3).unwrap_or_default();
        self.common = format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000");
    }
}

/// Writes a line of an app; `target` bytes long or somewhat more, if it has to be longer.
pub(super) fn line(
    style: Style,
    target: usize,
    mark: Mark<'_>,
    clock: &Clock,
    rng: &mut Rng,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let mut text = Text { rng, clock, out };
    match style {
        Style::Json => text.json(target, mark),
        Style::Trace => text.trace(start + target, mark),
        Style::Text => {
            match text.rng.u8(..4) {
                0 => text.access(),
                1 => text.spring(),
                2 => text.logfmt(),
                _ => text.rails(),
            }
            text.mark(mark);
            while text.out.len() < start + target {
                text.pair();
            }
        }
    }
}

/// A request as it stands in access logs: method, path with a mark, status.
pub(super) struct Visit {
    pub(super) method: &'static str,
    pub(super) status: &'static str,
    pub(super) agent: &'static str,
}

/// Makes up a request; writes its path, ending in a query with the mark, to `path`.
pub(super) fn visit(mark: Mark<'_>, rng: &mut Rng, path: &mut Vec<u8>) -> Visit {
    path.put_slice(pick(&PATHS, rng).as_bytes());
    number(rng.u64(..10_000_000), path);
    path.put_u8(b'?');
    sequence::put(mark.sequence, path);
    path.put_slice(b"&run=");
    path.put_slice(mark.run.as_bytes());
    Visit { method: pick(&METHODS, rng), status: pick(&STATUSES, rng), agent: pick(&AGENTS, rng) }
}

/// One line of the platform's router about a request.
pub(super) fn router_line(
    visit: &Visit,
    path: &[u8],
    app: &RouterApp<'_>,
    clock: &Clock,
    rng: &mut Rng,
    out: &mut Vec<u8>,
) {
    let mut text = Text { rng, clock, out };
    text.put(app.host).put(" - [").iso(9).put("Z] \"").put(visit.method).put(" ");
    text.out.put_slice(path);
    text.put(" HTTP/1.1\" ").put(visit.status).put(" ").below(4096).put(" ").below(90_000);
    text.put(" \"-\" \"").put(visit.agent).put("\" \"10.0.1.").below(255).put(":").below(65_536);
    text.put("\" \"").put(app.backend).put("\" x_forwarded_for:\"").address();
    text.put("\" x_forwarded_proto:\"https\" vcap_request_id:\"").uuid();
    text.put("\" response_time:0.").digits(6).put(" gorouter_time:0.000").digits(3);
    text.put(" app_id:\"").put(app.guid).put("\" app_index:\"").put(app.index);
    text.put("\" instance_id:\"").put(app.instance).put("\" x_cf_routererror:\"-\" x_b3_traceid:\"");
    text.hex(32).put("\" x_b3_spanid:\"").hex(16).put("\" x_b3_parentspanid:\"-\" b3:\"");
    text.hex(32).put("-").hex(16).put("\"");
}

/// What the router knows about the instance it forwards to.
pub(super) struct RouterApp<'a> {
    pub(super) host: &'a str,
    pub(super) guid: &'a str,
    pub(super) index: &'a str,
    pub(super) instance: &'a str,
    pub(super) backend: &'a str,
}

pub(super) fn uuid(rng: &mut Rng, out: &mut Vec<u8>) {
    let text = uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid();
    let mut buffer = uuid::Uuid::encode_buffer();
    out.put_slice(text.hyphenated().encode_lower(&mut buffer).as_bytes());
}

pub(super) fn number(value: u64, out: &mut Vec<u8>) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn pick(words: &[&'static str], rng: &mut Rng) -> &'static str {
    words[rng.usize(..words.len())]
}

struct Text<'a> {
    rng: &'a mut Rng,
    clock: &'a Clock,
    out: &'a mut Vec<u8>,
}

impl Text<'_> {
    fn access(&mut self) {
        let common = self.clock;
        self.address().put(" - - [").put(&common.common).put("] \"");
        self.word(&METHODS).put(" ").word(&PATHS).below(10_000_000).put("?page=").below(50);
        self.put(" HTTP/1.1\" ").word(&STATUSES).put(" ").below(90_000).put(" \"-\" \"");
        self.word(&AGENTS).put("\" 0.").digits(3);
    }

    fn spring(&mut self) {
        self.iso(3).put("Z  ").word(&LEVELS).put(" 7 --- [nio-8080-exec-").below(200).put("] ");
        self.word(&LOGGERS).put(" : ").word(&NOUNS).put(" ").below(10_000_000).put(" ").word(&VERBS);
        self.put(" by ").word(&NOUNS).put(" ").hex(12).put(" in ").below(900).put(" ms");
    }

    fn logfmt(&mut self) {
        self.put("time=").iso(6).put("Z level=info component=").word(&COMPONENTS).put(" msg=\"");
        self.word(&NOUNS).put(" ").word(&VERBS).put("\" count=").below(10_000).put(" took=");
        self.below(3000).put("ms trace=").hex(32);
    }

    fn rails(&mut self) {
        self.put("[").iso(6).put(" #").below(30_000).put("] Completed ").word(&STATUSES).put(" in ");
        self.below(800).put("ms (Views: ").below(90).put(".").digits(1).put("ms | ActiveRecord: ");
        self.below(60).put(".").digits(1).put("ms | Allocations: ").below(90_000).put(") [");
        self.uuid().put("]");
    }

    fn trace(&mut self, until: usize, mark: Mark<'_>) {
        self.iso(3).put("Z ERROR 7 --- [http-nio-").below(200).put("] ").word(&LOGGERS).put(" : ");
        self.word(&EXCEPTIONS).mark(mark);
        loop {
            self.put("\n\tat ").word(&FRAMES).below(900).put(")");
            if self.out.len() >= until {
                break;
            }
        }
    }

    fn json(&mut self, target: usize, mark: Mark<'_>) {
        let until = self.out.len() + target;
        self.put("{\"timestamp\":\"").iso(3).put("Z\",\"level\":\"").word(&LEVELS);
        self.put("\",\"logger\":\"").word(&LOGGERS).put("\",\"message\":\"").word(&NOUNS).put(" ");
        self.below(10_000_000).put(" ").word(&VERBS).put("\",\"traceId\":\"").hex(32);
        self.put("\",\"spanId\":\"").hex(16).put("\",\"durationMs\":").below(3000);
        self.put(",\"retry\":").word(&["true", "false"]).put(",\"ref\":\"").reference(mark).put("\"");
        let mut n = 0;
        while self.out.len() < until {
            self.put(",\"").word(&NOUNS).put("_").count(n).put("\":{\"id\":\"").uuid().put("\",\"amount\":");
            self.below(10_000).put(".").digits(2).put(",\"state\":\"").word(&VERBS).put("\"}");
            n += 1;
        }
        self.put("}");
    }

    /// One more thing a line may say.
    fn pair(&mut self) {
        match self.rng.u8(..4) {
            0 => self.put(" ").word(&NOUNS).put("_id=").uuid(),
            1 => self.put(" ").word(&COMPONENTS).put(".queue=").below(100_000),
            2 => self.put(" upstream=").address().put(" attempt=").below(5),
            _ => self.put(" ").word(&NOUNS).put(" ").hex(16).put(" ").word(&VERBS).put(";"),
        };
    }

    fn mark(&mut self, mark: Mark<'_>) {
        self.put(" ").reference(mark);
    }

    fn reference(&mut self, mark: Mark<'_>) -> &mut Self {
        sequence::put(mark.sequence, self.out);
        self.put(" run=").put(mark.run)
    }

    fn put(&mut self, text: &str) -> &mut Self {
        self.out.put_slice(text.as_bytes());
        self
    }

    fn word(&mut self, words: &[&'static str]) -> &mut Self {
        let word = pick(words, self.rng);
        self.put(word)
    }

    fn below(&mut self, limit: u64) -> &mut Self {
        let value = self.rng.u64(..limit);
        self.count(value)
    }

    fn count(&mut self, value: u64) -> &mut Self {
        number(value, self.out);
        self
    }

    fn digits(&mut self, n: usize) -> &mut Self {
        for _ in 0..n {
            self.out.put_u8(b'0' + self.rng.u8(..10));
        }
        self
    }

    fn hex(&mut self, n: usize) -> &mut Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut bits = 0u64;
        for at in 0..n {
            if at % 16 == 0 {
                bits = self.rng.u64(..);
            }
            self.out.put_u8(HEX[(bits & 15) as usize]);
            bits >>= 4;
        }
        self
    }

    fn uuid(&mut self) -> &mut Self {
        uuid(self.rng, self.out);
        self
    }

    fn address(&mut self) -> &mut Self {
        self.put("10.").below(16).put(".").below(256).put(".").below(256)
    }

    /// The moment with so many digits of the second; the last ones vary.
    fn iso(&mut self, fraction: u32) -> &mut Self {
        let clock = self.clock;
        self.put(&clock.iso).put(".");
        let scale = 10u32.pow(9 - fraction.min(9));
        let value = clock.nanos / scale;
        let mut power = 10u32.pow(fraction.min(9)) / 10;
        while power > 0 {
            self.out.put_u8(b'0' + u8::try_from(value / power % 10).unwrap_or_default());
            power /= 10;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(style: Style, target: usize, seed: u64) -> String {
        let mut clock = Clock::new();
        clock.set(1_795_319_239_653_791_311);
        let mut out = Vec::new();
        let mark = Mark { sequence: 42, run: "ab12" };
        line(style, target, mark, &clock, &mut Rng::with_seed(seed), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_carry_their_mark_once_and_have_about_the_size_asked_for() {
        for style in [Style::Text, Style::Json, Style::Trace] {
            for seed in 0..50 {
                for target in [0, 256, 2000] {
                    let line = sample(style, target, seed);
                    assert_eq!(line.matches("seq=").count(), 1, "{line}");
                    assert!(line.contains("seq=000000042 run=ab12"), "{line}");
                    assert!((target..target + 400).contains(&line.len()), "{} for {target}", line.len());
                    if style == Style::Json {
                        serde_json::from_str::<serde_json::Value>(&line).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn times_are_those_of_the_clock() {
        let mut clock = Clock::new();
        clock.set(1_795_319_239_053_791_311);
        assert_eq!(clock.common, "22/Nov/2026:03:47:19 +0000");
        let mut out = Vec::new();
        Text { rng: &mut Rng::with_seed(0), clock: &clock, out: &mut out }.iso(3).put("Z ").iso(9);
        assert_eq!(String::from_utf8(out).unwrap(), "2026-11-22T03:47:19.053Z 2026-11-22T03:47:19.053791311");
    }

    #[test]
    fn lines_differ() {
        let lines: std::collections::HashSet<_> = (0..500).map(|n| sample(Style::Text, 256, n)).collect();
        assert_eq!(lines.len(), 500);
    }
}
