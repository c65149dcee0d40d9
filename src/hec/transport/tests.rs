use super::*;

fn transport() -> Transport {
    let url: Url = "http://127.0.0.1:8088".parse().unwrap();
    let config = ClientConfig::new(url.clone(), "token".into());
    let settings = Settings::new(&config, std::slice::from_ref(&url)).unwrap();
    Transport::new(&Arc::new(settings), url, None).unwrap()
}

#[tokio::test(start_paused = true)]
async fn connections_are_replaced_after_a_minute_give_or_take_a_quarter() {
    let transport = transport();
    let expires = || transport.generation.lock().unwrap().expires;
    for _ in 0..20 {
        let before = expires();
        let age = before - Instant::now();
        assert!((45..=75).contains(&age.as_secs()), "{age:?}");
        tokio::time::advance(age - Duration::from_millis(2)).await;
        transport.http();
        assert_eq!(expires(), before, "not yet");
        tokio::time::advance(Duration::from_millis(3)).await;
        transport.http();
        assert!(expires() > before);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_are_replaced_after_a_thousand_requests() {
    let transport = transport();
    let left = || transport.generation.lock().unwrap().requests_left;
    for expected in (1..CONNECTION_REQUESTS).rev() {
        transport.http();
        assert_eq!(left(), expected);
    }
    transport.http();
    assert_eq!(left(), CONNECTION_REQUESTS);
}

#[test]
fn no_more_of_a_reply_is_kept_than_the_limit() {
    let mut body = Vec::new();
    let chunk = Bytes::from(vec![b'x'; REPLY_BYTES_MAX - 1]);
    append(&mut body, &chunk);
    assert_eq!(body.len(), REPLY_BYTES_MAX - 1);
    append(&mut body, &chunk);
    assert_eq!(body.len(), REPLY_BYTES_MAX);
    append(&mut body, &chunk);
    assert_eq!(body.len(), REPLY_BYTES_MAX);
}
