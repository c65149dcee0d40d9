use futures_util::StreamExt as _;

use super::*;
use crate::proto::loggregator as v2;
use crate::proto::loggregator::selector::Message;
use crate::sim::foundation::Connected;
use crate::sim::foundation::faults::{Fault, Target};
use crate::sim::foundation::gateway::config::JsonStyle;
use crate::sim::foundation::router::{Reader, RlpRequest, Router};
use crate::sim::foundation::selector::Selector;
use crate::sim::foundation::testing::numbered;
use crate::sim::wire::{Encoded, Kind};

const SECOND: Duration = Duration::from_secs(1);

/// A stream without a connection, on a clock that jumps to whatever is waited for.
struct World {
    router: Arc<Router>,
    stream: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>>>>,
    opened: Instant,
}

impl World {
    fn new() -> Self {
        let router = Arc::new(Router::new(10_000, 1000, JsonStyle::default()));
        let message = Some(Message::Log(v2::LogSelector {}));
        let request = RlpRequest {
            shard_id: String::new(),
            selectors: Selector::parse(&v2::Selector { source_id: String::new(), message })
                .into_iter()
                .collect(),
            deterministic_name: String::new(),
            use_preferred_tags: true,
        };
        let form = Arc::new(Mutex::new(StreamForm::default()));
        let lease = router.subscribe_rlp(request, Reader::Gateway(Arc::clone(&form)), None);
        let stream = EventStream::new(lease, form, &GatewayConfig::default()).into_stream();
        Self { router, stream: Box::pin(stream), opened: Instant::now() }
    }

    /// The next piece, and how many seconds after the start it came.
    async fn next(&mut self) -> Option<(u64, String)> {
        let piece = self.stream.next().await?;
        let Ok(piece) = piece;
        Some((self.opened.elapsed().as_secs(), String::from_utf8(piece.to_vec()).unwrap()))
    }

    /// The rest of the body.
    async fn rest(&mut self) -> String {
        let mut body = String::new();
        while let Some((_, piece)) = self.next().await {
            body.push_str(&piece);
        }
        body
    }

    fn publish(&self, count: usize) {
        let encoded: Vec<_> = numbered(count).iter().map(Encoded::new).collect();
        self.router.publish(&encoded);
    }

    fn inject(&self, fault: Fault) {
        assert_eq!(self.router.inject(&Target::Gateway, &fault), 1);
    }

    /// Whether nothing comes, whatever time passes.
    async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(10_000 * SECOND, self.next()).await.is_err()
    }
}

/// How many envelopes an event has.
fn count(event: &str) -> usize {
    let json = event.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).expect("a data event");
    let batch: serde_json::Value = serde_json::from_str(json).unwrap();
    batch["batch"].as_array().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_has_heartbeats_and_ends_in_time() {
    let mut world = World::new();
    for beat in 1..56 {
        let (at, event) = world.next().await.unwrap();
        assert_eq!(at, 15 * beat);
        let seconds =
            event.strip_prefix("event: heartbeat\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
        assert!(seconds.unwrap().parse::<u64>().unwrap() > 1_700_000_000, "{event}");
    }
    let closing = "event: closing\ndata: closing due to stream timeout\n\n".to_owned();
    assert_eq!(world.next().await, Some((14 * 60, closing)));
    assert_eq!(world.next().await, None);
    drop(world.stream);
    assert_eq!(*world.router.connected().borrow(), Connected::default());
}

#[tokio::test(start_paused = true)]
async fn data_put_heartbeats_off_but_not_the_end() {
    let mut world = World::new();
    let mut lines = 0;
    for second in (10..840).step_by(10) {
        tokio::time::sleep_until(world.opened + second * SECOND).await;
        world.publish(1);
        let (at, event) = world.next().await.unwrap();
        assert_eq!((at, count(&event)), (u64::from(second), 1));
        lines += 1;
    }
    assert_eq!(lines, 83);
    tokio::time::sleep_until(world.opened + 840 * SECOND).await;
    world.publish(1);
    let (_, event) = world.next().await.unwrap();
    assert!(event.starts_with("event: closing\n"), "{event}");
}

#[tokio::test(start_paused = true)]
async fn batches_are_those_of_the_log_proxy() {
    let mut world = World::new();
    world.publish(251);
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 251 {
        sizes.push(count(&world.next().await.unwrap().1));
    }
    assert_eq!(sizes, [1, 100, 100, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_body_ends_as_its_stream_does() {
    let closing = |reason: &str| format!("event: closing\ndata: {reason}\n\n");
    let close = End::Close { code: 1000, reason: "bye".into() };
    for (end, lines, last) in [
        (End::Eof, 251, String::new()),
        (End::Unavailable, 0, String::new()),
        (End::ResourceExhausted, 0, String::new()),
        (close, 0, closing("bye")),
    ] {
        let mut world = World::new();
        world.publish(251);
        world.inject(Fault::End(end.clone()));
        let body = world.rest().await;
        assert_eq!(body.matches(r#""timestamp""#).count(), lines, "{end:?}");
        assert!(body.ends_with(&last), "{end:?}");
        assert_eq!(body.contains("event: "), !last.is_empty(), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_leaves_half_a_line_and_no_end() {
    for lines in [0, 5] {
        let mut world = World::new();
        world.publish(lines);
        world.inject(Fault::End(End::Cut));
        let (_, half) = world.next().await.unwrap();
        assert!(half.starts_with("data: ") && !half.contains('\n'), "{half}");
        assert!(half.matches(r#""timestamp""#).count() <= lines, "{half}");
        assert!(world.is_silent().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_says_nothing_and_a_starved_one_that_it_lives() {
    let mut world = World::new();
    world.publish(3);
    world.inject(Fault::Stall);
    assert!(world.is_silent().await);
    world.inject(Fault::Resume);
    // It should have ended long ago.
    assert!(world.next().await.unwrap().1.starts_with("event: closing"));

    let mut world = World::new();
    world.publish(3);
    world.inject(Fault::Starve);
    for beat in 1..4 {
        let (at, event) = world.next().await.unwrap();
        assert_eq!((at, event.starts_with("event: heartbeat\n")), (15 * beat, true));
    }
    world.inject(Fault::Resume);
    assert_eq!(count(&world.next().await.unwrap().1), 1);
    assert_eq!(count(&world.next().await.unwrap().1), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stall_acts_on_a_stream_that_waits() {
    let mut world = World::new();
    assert!(futures_util::poll!(world.stream.next()).is_pending());
    world.inject(Fault::Stall);
    assert!(world.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn pieces_of_any_size_make_the_same_body() {
    let whole = {
        let mut world = World::new();
        world.publish(250);
        world.inject(Fault::End(End::Eof));
        world.rest().await
    };
    // Sizes are drawn at random; with these draws both the least and large ones are among them.
    fastrand::seed(1);
    for pause in [Duration::ZERO, SECOND / 1000] {
        let mut world = World::new();
        world.inject(Fault::Form(StreamForm { chunks: Chunks::Random { pause }, ..Default::default() }));
        world.publish(250);
        world.inject(Fault::End(End::Eof));
        let (mut body, mut sizes) = (String::new(), Vec::new());
        while let Some((_, piece)) = world.next().await {
            sizes.push(piece.len());
            body.push_str(&piece);
        }
        // How the envelopes spread over batches depends on time alone.
        assert_eq!(body.matches(r#""timestamp""#).count(), 250);
        if pause.is_zero() {
            assert_eq!(body, whole);
        }
        assert!(sizes.contains(&1) && sizes.iter().any(|&size| size > 1000), "{sizes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn lines_end_as_asked_for() {
    for (line_end, expected) in [(LineEnd::Lf, "\n"), (LineEnd::Cr, "\r"), (LineEnd::CrLf, "\r\n")] {
        let mut world = World::new();
        world.inject(Fault::Form(StreamForm { line_end, ..Default::default() }));
        world.publish(1);
        let data = world.next().await.unwrap().1;
        let heartbeat = world.next().await.unwrap().1;
        assert!(data.ends_with(&format!("]}}{expected}{expected}")), "{data:?}");
        let lines: Vec<_> = heartbeat.split(expected).collect();
        assert!(
            matches!(lines[..], ["event: heartbeat", data, "", ""] if data.starts_with("data: 1")),
            "{lines:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_are_sent_as_they_are_and_what_cannot_be_decoded_ends_the_body() {
    let mut world = World::new();
    world.publish(1);
    world.router.publish_text(Bytes::from_static(b": comment\nid"));
    world.router.publish_text(Bytes::from_static(b": 1\n"));
    world.publish(1);
    assert_eq!(count(&world.next().await.unwrap().1), 1);
    assert_eq!(world.next().await.unwrap().1, ": comment\nid");
    assert_eq!(world.next().await.unwrap().1, ": 1\n");
    assert_eq!(count(&world.next().await.unwrap().1), 1);

    world.router.publish(&[Encoded::from_bytes(b"\xff\xff", Some(Kind::Log))]);
    assert_eq!(world.next().await, None);
}
