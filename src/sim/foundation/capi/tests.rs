use reqwest::header::AUTHORIZATION;
use serde_json::Value;

use super::*;
use crate::sim::foundation::testing::*;
use crate::sim::foundation::{Foundation, FoundationConfig, LogStream, TokenFault, V1Firehose};

async fn fill(foundation: &Foundation) {
    let capi = foundation.capi();
    capi.put_organization(Organization { guid: "org".into(), name: "acme".into() });
    for n in 0..2 {
        let space =
            Space { guid: format!("space{n}"), name: format!("dev{n}"), organization_guid: "org".into() };
        capi.put_space(space);
    }
    for n in 0..5 {
        capi.put_app(App {
            guid: format!("app{n}"),
            name: format!("name{n}"),
            space_guid: format!("space{}", n % 2),
            labels: [("SPLUNK_INDEX".to_owned(), "web".to_owned())].into(),
            environment: [("LEVEL".to_owned(), json!("debug"))].into(),
            listed: n != 4,
            ..Default::default()
        });
    }
}

async fn get(foundation: &Foundation, path: &str) -> (u16, Value) {
    let token = foundation.uaa().issue("test", &["cloud_controller.read"]);
    let url = format!("{}{path}", foundation.api_url());
    let request = http(foundation).get(url).header(AUTHORIZATION, format!("Bearer {token}"));
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn the_root_names_what_there_is() {
    let foundation = start().await;
    let root: Value = http(&foundation).get(foundation.api_url()).send().await.unwrap().json().await.unwrap();
    let links = &root["links"];
    assert_eq!(links["uaa"]["href"], foundation.api_url());
    assert_eq!(links["logging"]["href"], foundation.traffic_controller_url());
    assert!(foundation.traffic_controller_url().starts_with("wss://127.0.0.1:"));
    assert_eq!(links["log_stream"]["href"], foundation.gateway_url());
    assert!(foundation.gateway_url().starts_with("https://127.0.0.1:"));
    assert_eq!(links["cloud_controller_v3"]["href"], format!("{}/v3", foundation.api_url()));
}

#[tokio::test]
async fn the_root_has_nothing_for_what_is_absent() {
    let (v1, log_stream) = (V1Firehose::Absent, LogStream::Absent);
    let config = FoundationConfig { v1, log_stream, ..Default::default() };
    let foundation = Foundation::start(config).await.unwrap();
    let root: Value = http(&foundation).get(foundation.api_url()).send().await.unwrap().json().await.unwrap();
    assert_eq!((&root["links"]["logging"], &root["links"]["log_stream"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn lists_come_in_pages_with_what_they_include() {
    let foundation = start().await;
    fill(&foundation).await;
    let (status, page) = get(&foundation, "/v3/apps?per_page=3&include=space.organization").await;
    assert_eq!(status, 200);
    assert_eq!(page["pagination"]["total_results"], 4);
    assert_eq!(page["pagination"]["total_pages"], 2);
    assert_eq!(page["pagination"]["previous"], Value::Null);
    assert_eq!(page["resources"].as_array().unwrap().len(), 3);
    assert_eq!(page["resources"][1]["relationships"]["space"]["data"]["guid"], "space1");
    assert_eq!(page["resources"][1]["metadata"]["labels"]["SPLUNK_INDEX"], "web");
    assert_eq!(page["included"]["spaces"].as_array().unwrap().len(), 2);
    assert_eq!(page["included"]["organizations"][0]["name"], "acme");

    let next = page["pagination"]["next"]["href"].as_str().unwrap();
    let (_, page) = get(&foundation, next.strip_prefix(&foundation.api_url()).unwrap()).await;
    assert_eq!(page["pagination"]["next"], Value::Null);
    assert_eq!(page["resources"].as_array().unwrap().len(), 1);

    let (_, page) = get(&foundation, "/v3/apps?guids=app1,app3,nothing").await;
    assert_eq!(page["pagination"]["total_results"], 2);
    for (path, expected) in [("/v3/spaces", 2), ("/v3/organizations", 1)] {
        assert_eq!(get(&foundation, path).await.1["pagination"]["total_results"], expected);
    }
    let bad = [
        "per_page=0",
        "per_page=5001",
        "per_page=x",
        "page=0",
        "include=moon",
        "unknown=1",
        "order_by=guid",
        "updated_ats[gte]=yesterday",
        "updated_ats[near]=2026-01-01T00:00:00Z",
        "label_selector==",
        "updated_ats[gt]=2026-01-01T00:00:00Z,2026-01-02T00:00:00Z",
    ];
    for query in bad {
        let (status, body) = get(&foundation, &format!("/v3/apps?{query}")).await;
        assert_eq!((status, &body["errors"][0]["code"]), (400, &json!(10005)), "{query}");
    }
}

#[tokio::test]
async fn lists_are_filtered_and_ordered() {
    let foundation = start().await;
    let capi = foundation.capi();
    fill(&foundation).await;
    let made = capi.lock().clock.now().to_string();
    capi.go_ahead(Duration::from_secs(3600));
    let renamed = App { name: "a".into(), ..capi.apps().swap_remove(2) };
    capi.put_app(App { labels: [("team".to_owned(), "x".to_owned())].into(), ..renamed });
    capi.put_space(Space { name: "renamed".into(), ..capi.space("space1").unwrap() });
    let later = capi.lock().clock.now().to_string();
    for (path, expected) in [
        ("/v3/apps", "app0 app1 app2 app3".to_owned()),
        ("/v3/apps?order_by=-created_at", "app3 app2 app1 app0".to_owned()),
        ("/v3/apps?order_by=updated_at", "app0 app1 app3 app2".to_owned()),
        ("/v3/apps?order_by=-updated_at&per_page=1", "app2".to_owned()),
        ("/v3/apps?order_by=name", "app2 app0 app1 app3".to_owned()),
        ("/v3/apps?names=name0,a", "app0 app2".to_owned()),
        ("/v3/apps?label_selector=team", "app2".to_owned()),
        ("/v3/apps?label_selector=SPLUNK_INDEX%3Dweb,!team", "app0 app1 app3".to_owned()),
        (&format!("/v3/apps?updated_ats[gt]={made}"), "app2".to_owned()),
        (&format!("/v3/apps?updated_ats%5Bgte%5D={made}"), "app0 app1 app2 app3".to_owned()),
        (&format!("/v3/apps?updated_ats[lte]={made}&guids=app0,app2"), "app0".to_owned()),
        (&format!("/v3/apps?updated_ats={later},{made}&names=a"), "app2".to_owned()),
        (&format!("/v3/apps?created_ats[gt]={made}"), String::new()),
        (&format!("/v3/spaces?updated_ats[gte]={later}"), "space1".to_owned()),
        (&format!("/v3/organizations?updated_ats[gte]={later}"), String::new()),
    ] {
        let (status, page) = get(&foundation, path).await;
        assert_eq!(status, 200, "{path}: {page}");
        let guids: Vec<_> =
            page["resources"].as_array().unwrap().iter().map(|one| one["guid"].as_str().unwrap()).collect();
        assert_eq!(guids.join(" "), expected, "{path}");
    }
    let (_, page) = get(&foundation, &format!("/v3/apps?updated_ats[lt]={later}&per_page=2")).await;
    let next = page["pagination"]["next"]["href"].as_str().unwrap();
    let (_, page) = get(&foundation, next.strip_prefix(&foundation.api_url()).unwrap()).await;
    assert_eq!(page["resources"][0]["guid"], "app3", "the filter holds on the next page");
}

#[tokio::test]
async fn a_share_of_the_calls_fails() {
    let foundation = start().await;
    fill(&foundation).await;
    foundation.capi().set_failing(50, 503);
    let mut failed = 0;
    for _ in 0..100 {
        failed += u32::from(get(&foundation, "/v3/apps/app0").await.0 == 503);
    }
    assert!((20..80).contains(&failed), "{failed}");
    foundation.capi().set_failing(0, 503);
    assert_eq!(get(&foundation, "/v3/apps/app0").await.0, 200);
    assert_eq!(foundation.capi().calls_where(|path| path.starts_with("/v3/apps/")), 101);
}

#[tokio::test]
async fn single_resources_are_found_or_not() {
    let foundation = start().await;
    fill(&foundation).await;
    for (path, pointer, expected) in [
        ("/v3/apps/app4", "/name", "name4"),
        ("/v3/apps/app0/environment_variables", "/var/LEVEL", "debug"),
        ("/v3/spaces/space1", "/relationships/organization/data/guid", "org"),
        ("/v3/organizations/org", "/name", "acme"),
    ] {
        let (status, body) = get(&foundation, path).await;
        assert_eq!((status, body.pointer(pointer)), (200, Some(&json!(expected))), "{path}");
        assert_eq!(foundation.capi().calls(path), 1);
    }
    let (_, body) = get(&foundation, "/v3/apps/app1?include=space.organization").await;
    let included = &body["included"];
    assert_eq!(
        (&included["spaces"][0]["name"], &included["organizations"][0]["name"]),
        (&json!("dev1"), &json!("acme"))
    );
    for path in ["/v3/apps/x", "/v3/apps/x/environment_variables", "/v3/spaces/x", "/v3/organizations/x"] {
        let (status, body) = get(&foundation, path).await;
        assert_eq!((status, &body["errors"][0]["code"]), (404, &json!(10010)), "{path}");
    }
    assert!(foundation.capi().delete_app("app4"));
    assert_eq!(get(&foundation, "/v3/apps/app4").await.0, 404);
    assert_eq!(foundation.capi().calls_total(), 10);
    assert_eq!(get(&foundation, "/v3/unheard_of").await.1["errors"][0]["code"], 10000);
}

#[tokio::test]
async fn answers_can_be_scripted_by_path() {
    let foundation = start().await;
    fill(&foundation).await;
    let path = "/v3/apps/app0";
    for (status, code) in [(404, 10010), (500, 10001), (401, 1000), (403, 10003), (429, 10013)] {
        foundation.capi().set_status(path, Some(status));
        let (got, body) = get(&foundation, path).await;
        assert_eq!((got, &body["errors"][0]["code"]), (status, &json!(code)));
    }
    foundation.capi().set_status(path, None);
    foundation.capi().set_latency(Duration::from_millis(1));
    assert_eq!(get(&foundation, path).await.0, 200);
}

#[tokio::test]
async fn tokens_are_checked_at_each_request() {
    let foundation = start().await;
    fill(&foundation).await;
    let client = http(&foundation);
    let url = format!("{}/v3/apps", foundation.api_url());
    let status = async |token: Option<&str>| {
        let mut request = client.get(&url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("bearer {token}"));
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some("nonsense")).await, 401);
    let token = foundation.uaa().issue("test", &[]);
    assert_eq!(status(Some(&token)).await, 200);
    foundation.uaa().expire_all();
    assert_eq!(status(Some(&token)).await, 401);
    let token = foundation.uaa().issue("test", &[]);
    foundation.uaa().revoke_all();
    assert_eq!(status(Some(&token)).await, 401);
}

/// Asks for a token; status, and the body if it is JSON.
async fn token(foundation: &Foundation, secret: Option<&str>, form: &[(&str, &str)]) -> (u16, Value) {
    let mut request = http(foundation).post(format!("{}/oauth/token", foundation.api_url())).form(form);
    if let Some(secret) = secret {
        request = request.basic_auth("nozzle", Some(secret));
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn clients_get_tokens_by_either_form_of_credentials() {
    let foundation = start().await;
    let grant = ("grant_type", "client_credentials");
    let (id, secret) = (("client_id", "nozzle"), ("client_secret", "nozzle-secret"));
    let good = Some("nozzle-secret");
    for (secret, form, status, error) in [
        (good, vec![grant], 200, Value::Null),
        (None, vec![grant, id, secret], 200, Value::Null),
        (good, vec![grant, ("scope", "doppler.firehose nonsense")], 200, Value::Null),
        (good, vec![grant, ("scope", "nonsense")], 400, json!("invalid_scope")),
        (Some("wrong"), vec![grant], 401, json!("invalid_client")),
        (None, vec![grant], 401, json!("unauthorized")),
        (good, vec![], 400, json!("invalid_request")),
        (good, vec![("grant_type", "password")], 400, json!("unsupported_grant_type")),
    ] {
        let (got, body) = token(&foundation, secret, &form).await;
        assert_eq!((got, &body["error"]), (status, &error), "{form:?} {body}");
    }
    foundation.uaa().set_lifetime(Duration::from_secs(600));
    let (_, body) = token(&foundation, good, &[grant]).await;
    assert_eq!((&body["expires_in"], &body["token_type"]), (&json!(599), &json!("bearer")));
    assert_eq!(foundation.uaa().issued(), 4);

    foundation.uaa().fail_next(1, TokenFault::Unauthorized);
    foundation.uaa().fail_next(1, TokenFault::Status(503));
    foundation.uaa().fail_next(1, TokenFault::Slow(Duration::from_millis(1)));
    for expected in [401, 503, 200, 200] {
        assert_eq!(token(&foundation, good, &[grant]).await.0, expected);
    }
}

#[tokio::test]
async fn tokens_can_be_checked_by_a_client() {
    let foundation = start().await;
    let good = foundation.uaa().issue("nozzle", &["doppler.firehose"]);
    let check = async |secret: &str, token: &str| {
        let request = http(&foundation)
            .post(format!("{}/check_token", foundation.api_url()))
            .basic_auth("nozzle", Some(secret))
            .form(&[("token", token)]);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (status, claims) = check("nozzle-secret", &good).await;
    assert_eq!((status, &claims["scope"]), (200, &json!(["doppler.firehose"])));
    assert_eq!(check("wrong", &good).await.0, 401);
    let (status, body) = check("nozzle-secret", "other").await;
    assert_eq!((status, &body["error_description"]), (400, &json!("Token was not recognised")));
    foundation.uaa().expire_all();
    let (status, body) = check("nozzle-secret", &good).await;
    assert_eq!((status, &body["error_description"]), (400, &json!("Token has expired")));
}
