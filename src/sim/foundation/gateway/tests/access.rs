//! Who may read, and what the others are told.

use super::*;

const NOT_FOUND: (u16, &str) = (404, "{\"message\":\"resource not found\",\"error\":\"not_found\"}\n\n");
const NOT_ALLOWED: (u16, &str) =
    (405, "{\"message\":\"method not allowed\",\"error\":\"method_not_allowed\"}\n\n");
const EMPTY: (u16, &str) = (400, "{\"message\":\"query cannot be empty\",\"error\":\"empty_query\"}\n\n");
const NO_TYPE: (u16, &str) = (
    400,
    "{\"message\":\"query must provide at least one envelope type\",\"error\":\"missing_envelope_type\"}\n\n",
);
const UNAVAILABLE: (u16, &str) =
    (503, "{\"message\":\"streaming is temporarily unavailable\",\"error\":\"streaming_unavailable\"}\n\n");
/// Of an open stream, whose body nobody waits for here.
const OPEN: (u16, &str) = (200, "");

async fn told(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    if status == 200 {
        return (status, String::new());
    }
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    (status, within(response.text()).await.unwrap())
}

fn own((status, body): (u16, &str)) -> (u16, String) {
    (status, body.to_owned())
}

#[tokio::test]
async fn scopes_decide_or_else_the_cloud_controller() {
    let foundation = start().await;
    let (instance, broken) = ("0a0a0a0a-1111-4222-8333-444444444444", "55550001-2222-4333-8444-000000000001");
    foundation.capi().put_app(App { guid: APP.into(), ..Default::default() });
    foundation.capi().set_status(&format!("/v3/service_instances/{instance}"), Some(200));
    foundation.capi().set_status(&format!("/internal/v4/log_access/{broken}"), Some(500));
    let firehose = foundation.uaa().issue("a", &["doppler.firehose"]);
    let admin = foundation.uaa().issue("b", &["logs.admin"]);
    let plain = foundation.uaa().issue("c", &["cloud_controller.read"]);
    for (query, authorization, expected) in [
        ("log".to_owned(), format!("bearer {firehose}"), OPEN),
        ("log".to_owned(), firehose.clone(), OPEN),
        ("log&source_id=any".to_owned(), format!("bearer {admin}"), OPEN),
        ("log".to_owned(), format!("Bearer {firehose}"), NOT_FOUND),
        ("log".to_owned(), "bearer nonsense".to_owned(), NOT_FOUND),
        ("log".to_owned(), String::new(), NOT_FOUND),
        ("log".to_owned(), format!("bearer {plain}"), NOT_FOUND),
        (format!("log&source_id={APP}"), format!("bearer {plain}"), OPEN),
        (format!("log&source_id={APP}&source_id={instance}"), format!("bearer {plain}"), OPEN),
        (format!("log&source_id={APP}&source_id={broken}"), format!("bearer {plain}"), NOT_FOUND),
        ("log&source_id=".to_owned(), format!("bearer {plain}"), NOT_FOUND),
        ("log&source_id=doppler".to_owned(), format!("bearer {plain}"), NOT_FOUND),
        (format!("log&source_id={}", APP.replace('-', "")), format!("bearer {plain}"), NOT_FOUND),
    ] {
        let got = told(get(&foundation, &query, &authorization).await).await;
        assert_eq!(got, own(expected), "{query} {authorization}");
    }
}

#[tokio::test]
async fn the_token_is_checked_first_then_the_method_then_the_query() {
    let foundation = start().await;
    let good = token(&foundation);
    let get = Method::GET;
    foundation.set_gateway_upstream(Upstream::Away);
    for (method, query, authorization, expected) in [
        (Method::POST, "", "bearer bad", NOT_FOUND),
        (Method::POST, "", good.as_str(), NOT_ALLOWED),
        (Method::PUT, "?log", good.as_str(), NOT_ALLOWED),
        (get.clone(), "", good.as_str(), EMPTY),
        (get.clone(), "?", good.as_str(), EMPTY),
        (get.clone(), "?shard_id=x", good.as_str(), NO_TYPE),
        (get.clone(), "?logs", good.as_str(), NO_TYPE),
        (get, "?log", good.as_str(), UNAVAILABLE),
    ] {
        let url = format!("{}/v2/read{query}", foundation.gateway_url());
        let request =
            http(&foundation).request(method.clone(), url).header(header::AUTHORIZATION, authorization);
        let got = told(within(request.send()).await.unwrap()).await;
        assert_eq!(got, own(expected), "{method} {query} {authorization}");
    }
}

#[tokio::test]
async fn a_stream_outlives_its_token() {
    let foundation = start().await;
    let token = token(&foundation);
    let mut events = Events::new(get(&foundation, "log", &token).await);
    foundation.uaa().expire_all();
    foundation.publish(&numbered(2));
    assert_eq!(events.logs(2).await, lines(0..2));
    assert_eq!(told(get(&foundation, "log", &token).await).await, own(NOT_FOUND));
}

#[tokio::test]
async fn without_the_log_proxy_bodies_end_and_nothing_opens() {
    let foundation = start().await;
    let mut events = Events::open(&foundation, "log").await;
    foundation.set_gateway_upstream(Upstream::Away);
    assert_eq!(events.next().await, None);
    let refused = get(&foundation, "log", &token(&foundation)).await;
    assert_eq!(told(refused).await, own(UNAVAILABLE));

    foundation.set_gateway_upstream(Upstream::Reachable);
    let mut events = Events::open(&foundation, "log").await;
    foundation.publish(&numbered(1));
    assert_eq!(events.logs(1).await, lines(0..1));
}

#[tokio::test]
async fn a_stream_the_log_proxy_refuses_ends_at_once() {
    let config = FoundationConfig { rlp_streams_max: 1, ..Default::default() };
    let foundation = Foundation::start(config).await.unwrap();
    foundation.refuse_streams(1, &tonic::Status::internal("scripted"));
    assert_eq!(Events::open(&foundation, "log").await.next().await, None);

    let _open = Events::open(&foundation, "log").await;
    assert_eq!(Events::open(&foundation, "log").await.next().await, None);
    let refusal = egress(&foundation).await.batched_receiver(batch_request("")).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::ResourceExhausted);
}
