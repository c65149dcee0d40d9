use url::Url;

use super::api::foundation;
use super::forward_proxy::{ForwardProxy, Rule};
use super::gateway_server::Gateway;
use super::traffic_controller::{Act, Connection, TrafficController};
use super::*;
use crate::proxy::Proxy;
use crate::proxy::bypass::Bypass;

/// `user:s3cr3t`
const CREDENTIALS: &str = "Basic dXNlcjpzM2NyM3Q=";

/// All through this proxy, with credentials or not, but for what is named.
fn through(proxy: &ForwardProxy, credentials: &str, bypass: &str) -> ProxySettings {
    let proxy = Proxy::parse(&format!("{credentials}{}", proxy.address)).unwrap();
    ProxySettings { secure: Some(proxy.clone()), plain: Some(proxy), bypass: Bypass::parse(bypass).0 }
}

/// A platform behind proxies, whose API has a name that only they find.
fn behind(proxies: ProxySettings, api: &Url, pki: &Pki) -> Platform {
    let mut api = api.clone();
    api.set_host(Some("api.test")).unwrap();
    Platform { foundation: foundation(&api, &proxies), tls: pki.trusting().into(), proxies }
}

#[tokio::test]
async fn everything_but_grpc_goes_through_the_proxy() {
    for (rule, credentials) in [(Rule::Open, ""), (Rule::Only(CREDENTIALS), "http://user:s3cr3t@")] {
        let pki = Pki::new("test authority");
        let proxy = ForwardProxy::start(rule).await;
        let proxies = through(&proxy, credentials, "");

        let gateway = Gateway::named(&pki, "log-stream.test", &["h2", "http/1.1"], []).await;
        let running =
            Running::start(plan(SourceKind::Gateway(behind(proxies.clone(), &gateway.api.url, &pki))));
        gateway.stream(0).await.send("data: 1\n\n").await;
        running.take(FrameKind::GatewayBatch, 1).await;
        running.stop().await;

        let frame = Bytes::from_static(b"frame");
        let script = [Connection::Open(vec![Act::Frames(vec![frame.clone()])])];
        let firehose = TrafficController::named(&pki, "doppler.test", script).await;
        let running = Running::start(plan(SourceKind::Firehose(behind(proxies, &firehose.api.url, &pki))));
        assert_eq!(running.take(FrameKind::V1Envelope, 1).await, [frame]);
        running.stop().await;

        let of = |url: &Url| url.port().unwrap();
        let expected = [
            format!("GET http://api.test:{}/", of(&gateway.api.url)),
            format!("POST http://api.test:{}/oauth/token", of(&gateway.api.url)),
            format!("CONNECT log-stream.test:{}", gateway.address.port()),
            format!("GET http://api.test:{}/", of(&firehose.api.url)),
            format!("POST http://api.test:{}/oauth/token", of(&firehose.api.url)),
            format!("CONNECT doppler.test:{}", firehose.address.port()),
        ];
        assert_eq!(proxy.asked(), expected, "{rule:?}");
    }
}

#[tokio::test]
async fn what_is_named_is_reached_directly() {
    let pki = Pki::new("test authority");
    let proxy = ForwardProxy::start(Rule::Open).await;
    // A name that every machine knows, so that it can be reached either way.
    let gateway = Gateway::named(&pki, "localhost", &["h2"], []).await;
    let proxies = through(&proxy, "", "api.test");
    let foundation = gateway.api.foundation.clone();
    let platform = Platform { foundation, tls: pki.trusting().into(), proxies };
    let running = Running::start(plan(SourceKind::Gateway(platform)));
    gateway.stream(0).await;
    running.stop().await;
    assert_eq!(proxy.asked(), Vec::<String>::new(), "loopback is always reached directly");

    let proxies = through(&proxy, "", "test");
    let running = Running::start(plan(SourceKind::Gateway(behind(proxies, &gateway.api.url, &pki))));
    running.ended("discovery").await;
    running.stop().await;
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_and_its_password_is_not() {
    let pki = Pki::new("test authority");
    let gateway = Gateway::named(&pki, "log-stream.test", &["h2"], []).await;
    let cases = [
        (Rule::Refuse("403 Forbidden"), "proxy", "403 Forbidden"),
        (Rule::Refuse("407 Proxy Authentication Required"), "proxy", "407 Proxy Authentication Required"),
        (Rule::Refuse("502 Bad Gateway"), "connect", "could not open a tunnel: 502 Bad Gateway"),
        (Rule::Only("Basic bm8="), "discovery", "407"),
    ];
    for (rule, reason, words) in cases {
        let proxy = ForwardProxy::start(rule).await;
        let proxies = through(&proxy, "user:s3cr3t@", "");
        let running = Running::start(plan(SourceKind::Gateway(behind(proxies, &gateway.api.url, &pki))));
        let said = running.ended(reason).await;
        assert!(said.contains(words), "{reason}: expected {words:?}: {said}");
        assert!(!said.contains("s3cr3t") && !said.contains("czNj"), "{said}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_proxy_that_is_away_is_told() {
    let pki = Pki::new("test authority");
    let gateway = Gateway::named(&pki, "log-stream.test", &["h2"], []).await;
    let gone = Proxy::parse(&format!("user:s3cr3t@{}", closed_port().await)).unwrap();
    let address = gone.address();
    let proxies = ProxySettings { secure: Some(gone), ..ProxySettings::default() };
    let foundation = gateway.api.foundation.clone();
    let platform = Platform { foundation, tls: pki.trusting().into(), proxies };
    let running = Running::start(plan(SourceKind::Gateway(platform)));
    let said = running.ended("connect").await;
    assert!(said.contains("log-stream.test") && said.contains(&format!("the proxy {address}")), "{said}");
    assert!(!said.contains("s3cr3t"), "{said}");
    running.stop().await;
}
