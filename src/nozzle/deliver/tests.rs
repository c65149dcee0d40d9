//! Senders, pool and client together, against something in front of a HEC that refuses in its own words.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::time::{advance, pause, resume, timeout};

use super::*;
use crate::hec::{ClientConfig, Compression};
use crate::task::Tasks;

type Seen = Arc<Mutex<BTreeSet<String>>>;

/// Refuses bodies with `poison` in them as a firewall does, and takes all others.
async fn firewall(State(seen): State<Seen>, body: String) -> (StatusCode, Html<&'static str>) {
    if body.contains("poison") {
        return (StatusCode::BAD_REQUEST, Html("<html>The request was blocked</html>"));
    }
    seen.lock().unwrap().insert(body);
    (StatusCode::OK, Html(r#"{"text":"Success","code":0}"#))
}

fn batch(text: &str) -> Batch {
    let mut batch = Batch::new(Arc::from("main"), 0);
    batch.buffer().extend_from_slice(text.as_bytes());
    batch.commit(1);
    batch
}

#[tokio::test]
async fn bad_events_in_every_place_do_not_keep_good_ones_from_being_sent() {
    let seen = Seen::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/services/collector/event", post(firewall)).with_state(seen.clone());
    let mut server = Tasks::new();
    server.spawn("server", async move { axum::serve(listener, router).await.unwrap() });

    let config = ClientConfig::new(url.parse().unwrap(), "token".into());
    let client = Arc::new(Client::new(ClientConfig { compression: Compression::None, ..config }).unwrap());
    let ledger = Arc::new(Ledger::new());
    let merge = MergeLimits { bytes: 1000, events: 10 };
    let (admission, outbox) = pool(1 << 20, WhenFull::Fair, merge, None, ledger.clone());
    let stop = CancellationToken::new();
    // Twice as many as are in hand at once while no endpoint is open, and all of them before anything good.
    let bad = 16;
    for n in 0..bad {
        admission.admit(batch(&format!("poison {n}")), &stop).await;
    }
    let mut senders = Tasks::new();
    for _ in 0..SENDERS {
        senders.spawn("sender", outbox.clone().send_all(client.clone(), stop.clone()));
    }
    let until = async |what: &str, is: &dyn Fn() -> bool| {
        let look = async {
            while !is() {
                pause();
                advance(Duration::from_secs(1)).await;
                resume();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // By the clock that jumps: some hundred looks.
        assert!(timeout(Duration::from_secs(2000), look).await.is_ok(), "not so: {what}");
    };
    let aside = || outbox.status().set_aside as u64 >= bad - 1 && outbox.status().waiting_batches == 0;
    until("all bad ones were tried and put aside", &aside).await;
    assert_eq!(ledger.snapshot().rejected.len(), 0, "nothing is judged before something was taken");

    for n in 0..3 {
        admission.admit(batch(&format!("good {n}")), &stop).await;
    }
    until("the good ones are delivered", &|| ledger.snapshot().events.delivered == 3).await;
    until("the bad ones are judged", &|| ledger.snapshot().events.rejected == bad).await;
    assert_eq!(seen.lock().unwrap().len(), 3);
    drop(admission);
    while let Some(joined) = senders.join_next().await {
        joined.unwrap();
    }
    assert_eq!((outbox.status().bytes, ledger.snapshot().batched), (0, 0));
}
