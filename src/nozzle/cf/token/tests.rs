//! Against a UAA on a real socket; time is moved by hand, never waited for.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::nozzle::cf::fake::{Server, client, serve};

/// Gives `token-1`, `token-2`, … after the scripted failures.
#[derive(Default)]
struct Uaa {
    asked: AtomicU32,
    given: AtomicU32,
    failures: Mutex<Vec<(u16, &'static str)>>,
    seen: Mutex<Vec<(HeaderMap, String)>>,
}

async fn answer(Shared(uaa): Shared<Arc<Uaa>>, headers: HeaderMap, body: String) -> Response {
    uaa.asked.fetch_add(1, Ordering::SeqCst);
    uaa.seen.lock().unwrap().push((headers, body));
    if let Some((status, body)) = uaa.failures.lock().unwrap().pop() {
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    let n = uaa.given.fetch_add(1, Ordering::SeqCst) + 1;
    let token = json!({"access_token": format!("token-{n}"), "token_type": "bearer", "expires_in": 1000});
    axum::Json(token).into_response()
}

const QUICK: Pace = Pace {
    attempts: 3,
    between: (Duration::from_millis(1), Duration::from_millis(2)),
    hold: (Duration::from_secs(60), Duration::from_secs(60)),
    spacing: Duration::ZERO,
};

async fn start(failures: &[(u16, &'static str)]) -> (TokenSource, Arc<Uaa>, Server) {
    let uaa = Arc::new(Uaa::default());
    uaa.failures.lock().unwrap().extend(failures.iter().rev());
    let app = Router::new().route("/oauth/token", post(answer)).with_state(Arc::clone(&uaa));
    let (url, server) = serve(app).await;
    let credentials =
        Credentials { client_id: "nozzle".to_owned(), client_secret: "s3cr&t%41".to_owned().into() };
    (TokenSource::with_pace(client(), &url, credentials, QUICK), uaa, server)
}

async fn advance(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

fn text(token: &AccessToken) -> String {
    token.header().to_str().unwrap().to_owned()
}

const DENIED: (u16, &str) = (401, r#"{"error":"unauthorized","error_description":"Bad credentials"}"#);

#[tokio::test]
async fn the_request_is_what_the_uaa_expects() {
    let (tokens, uaa, _server) = start(&[]).await;
    assert_eq!(text(&tokens.token().await.unwrap()), "bearer token-1");
    let (headers, body) = uaa.seen.lock().unwrap().remove(0);
    assert_eq!(body, "grant_type=client_credentials");
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(headers["accept"], "application/json");
    let expected = format!("Basic {}", STANDARD.encode("nozzle:s3cr&t%41"));
    assert_eq!(headers["authorization"], expected.as_str());
}

#[tokio::test]
async fn a_token_is_renewed_at_four_fifths_of_its_life() {
    let (tokens, uaa, _server) = start(&[]).await;
    tokens.token().await.unwrap();
    advance(790).await;
    assert_eq!(text(&tokens.token().await.unwrap()), "bearer token-1");
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 1);
    advance(20).await;
    assert_eq!(text(&tokens.token().await.unwrap()), "bearer token-2");
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn many_callers_cause_one_request() {
    let (tokens, uaa, _server) = start(&[]).await;
    let all = join_all((0..50).map(|_| tokens.token())).await;
    assert!(all.iter().all(|token| text(token.as_ref().unwrap()) == "bearer token-1"));
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn many_refusals_of_one_token_cause_one_renewal() {
    let (tokens, uaa, _server) = start(&[]).await;
    let first = tokens.token().await.unwrap();
    let renew = async || {
        tokens.invalidate(&first);
        tokens.token().await.unwrap()
    };
    for token in join_all((0..50).map(|_| renew())).await {
        assert_eq!(text(&token), "bearer token-2");
    }
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn wrong_credentials_are_named_asked_once_and_not_shown() {
    let (tokens, uaa, _server) = start(&[DENIED]).await;
    let errors = join_all((0..10).map(|_| tokens.token())).await;
    for error in errors {
        let error = error.unwrap_err();
        let expected = "UAA refused client `nozzle` at ";
        assert!(error.to_string().starts_with(expected), "{error}");
        let expected = "(unauthorized: Bad credentials): check CLIENT_ID and CLIENT_SECRET";
        assert!(error.to_string().ends_with(expected), "{error}");
    }
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 1, "the failure is answered from memory");
    advance(61).await;
    assert_eq!(text(&tokens.token().await.unwrap()), "bearer token-1");
    let shown = format!("{tokens:?}");
    assert!(!shown.contains("s3cr") && !shown.contains("token-1"), "{shown}");
}

#[tokio::test]
async fn trouble_at_the_uaa_is_retried_within_one_call() {
    let (tokens, uaa, _server) = start(&[(503, ""), (500, "{}")]).await;
    assert_eq!(text(&tokens.token().await.unwrap()), "bearer token-1");
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn lasting_trouble_ends_the_call_after_its_attempts() {
    let (tokens, uaa, _server) = start(&[(503, ""); 3]).await;
    let error = tokens.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Status { status: 503, .. }), "{error}");
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_rate_limit_is_not_answered_with_more_requests() {
    let (tokens, uaa, _server) = start(&[(429, "")]).await;
    let error = tokens.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Status { status: 429, .. }), "{error}");
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_renewal_leaves_the_old_token_in_use_until_it_expires() {
    let (tokens, uaa, _server) = start(&[]).await;
    tokens.token().await.unwrap();
    uaa.failures.lock().unwrap().push(DENIED);
    advance(850).await;
    assert_eq!(text(&tokens.token().await.unwrap()), "bearer token-1");
    assert_eq!(text(&tokens.token().await.unwrap()), "bearer token-1");
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 2, "not asked again at once");
    uaa.failures.lock().unwrap().push(DENIED);
    advance(200).await;
    assert!(tokens.token().await.is_err());
}

#[tokio::test]
async fn renewals_are_spaced_even_if_every_token_is_refused() {
    let (mut tokens, uaa, _server) = start(&[]).await;
    let spacing = Duration::from_secs(3600);
    Arc::get_mut(&mut tokens.inner).unwrap().pace.spacing = spacing;
    let first = tokens.token().await.unwrap();
    tokens.invalidate(&first);
    let early = tokio::time::timeout(Duration::from_millis(20), tokens.token()).await;
    assert!(early.is_err(), "waits for its turn");
    assert_eq!(uaa.asked.load(Ordering::SeqCst), 1);
    advance(3600).await;
    assert_eq!(text(&tokens.token().await.unwrap()), "bearer token-2");
}

#[test]
fn a_token_does_not_show_itself() {
    let (header, _) = read_token(br#"{"access_token":"hidden"}"#).unwrap();
    let token = AccessToken { header, serial: 1 };
    assert!(!format!("{token:?}").contains("hidden"));
}
