//! What is learned from replies, and for how long.

use bytes::Bytes;

use super::*;
use crate::hec::classify::Pace;
use crate::hec::compress::Wire;

fn request(events: usize, raw: usize, encoding: Compression, form: Form) -> Request {
    let wire = Wire { bytes: Bytes::new(), encoding };
    Request { wire, raw, form, events, doubt: Taken::No, doubted: None }
}

fn plain() -> Request {
    request(1, 100, Compression::None, Form::Usual)
}

fn reply(status: u16, body: &str) -> Exchange {
    let status = StatusCode::from_u16(status).unwrap();
    Exchange::Reply { status, retry_after: None, body: ReplyBody::parse(body.as_bytes()) }
}

fn sent(channel: Option<Uuid>) -> Sent {
    Sent { number: 0, channel, by_lane: false }
}

const ACCEPTED: Disposition = Disposition::Accepted(Pace::Steady);

#[test]
fn a_channel_is_renewed_once_and_again_only_after_it_was_accepted() {
    let mut learned = Learned::new(Compression::Gzip, "here".to_owned());
    let refused = reply(400, r#"{"code":11}"#);
    let full = reply(429, r#"{"code":27}"#);
    let fresh = Disposition::FreshChannel;
    assert_eq!(learned.take_in(fresh, &refused, &plain(), sent(None), Instant::now()), fresh);
    let first = learned.channel();
    assert!(first.is_some());
    assert_eq!(
        learned.take_in(fresh, &refused, &plain(), sent(None), Instant::now()),
        fresh,
        "sent before the first was made"
    );
    assert_eq!(learned.channel(), first);
    let hold = Disposition::Hold(HoldReason::Channel);
    assert_eq!(learned.take_in(fresh, &refused, &plain(), sent(first), Instant::now()), hold);
    let retry = Disposition::Retry { after: None, taken: Taken::No };
    assert_eq!(learned.take_in(fresh, &full, &plain(), sent(first), Instant::now()), retry);
    learned.take_in(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain(), sent(first), Instant::now());
    assert_eq!(learned.take_in(fresh, &full, &plain(), sent(first), Instant::now()), fresh);
    assert!(learned.channel().is_some() && learned.channel() != first);
}

#[test]
fn a_415_turns_gzip_off_and_is_a_hold_without_gzip() {
    let mut learned = Learned::new(Compression::Gzip, "here".to_owned());
    let compressed = request(1, 100, Compression::Gzip, Form::Usual);
    let exchange = reply(415, "");
    let off = Disposition::WithoutGzip;
    assert_eq!(learned.take_in(off, &exchange, &compressed, sent(None), Instant::now()), off);
    assert_eq!(learned.compression(Instant::now()), Compression::None);
    let hold = Disposition::Hold(HoldReason::MediaType);
    assert_eq!(learned.take_in(off, &exchange, &plain(), sent(None), Instant::now()), hold);
}

#[test]
fn only_a_successful_trial_blames_gzip() {
    let ok = reply(200, r#"{"code":0}"#);
    for (form, expected) in
        [(Form::Usual, Compression::Gzip), (Form::Plain, Compression::Gzip), (Form::Trial, Compression::None)]
    {
        let mut learned = Learned::new(Compression::Gzip, "here".to_owned());
        learned.take_in(ACCEPTED, &ok, &request(1, 100, Compression::None, form), sent(None), Instant::now());
        assert_eq!(learned.compression(Instant::now()), expected, "{form:?}");
    }
}

#[test]
fn the_size_limit_only_falls_and_not_below_its_floor() {
    let mut learned = Learned::new(Compression::Gzip, "here".to_owned());
    let refused = reply(413, "");
    for (raw, limit) in [(1_000_000, 800_000), (2_000_000, 800_000), (500_000, 400_000), (300, 16_384)] {
        let body = request(2, raw, Compression::Gzip, Form::Usual);
        learned.take_in(Disposition::Split, &refused, &body, sent(None), Instant::now());
        assert_eq!(learned.bytes_max(Instant::now()), limit);
    }
}

#[test]
fn a_single_event_is_only_judged_by_others_than_hec_after_something_was_taken() {
    let hold = |status| Disposition::Hold(HoldReason::RefusesAll(StatusCode::from_u16(status).unwrap()));
    for (status, refused) in [(400, Disposition::Bisect), (413, Disposition::Split)] {
        let mut learned = Learned::new(Compression::Gzip, "here".to_owned());
        let page = reply(status, "<html>");
        let mut post = |disposition, exchange: &Exchange, request: &Request| {
            let sent = learned.send(false);
            learned.take_in(disposition, exchange, request, sent, Instant::now())
        };
        let two = request(2, 100_000, Compression::None, Form::Usual);
        assert_eq!(post(refused, &page, &two), refused);
        assert_eq!(post(refused, &page, &plain()), hold(status));
        post(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain());
        assert_eq!(post(refused, &page, &plain()), hold(status), "the batch is new");
        // Sent before the first refusal, though its reply comes after.
        let early = learned.send(false);
        let doubted = Request { doubted: Some(learned.next_number()), ..plain() };
        learned.take_in(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain(), early, Instant::now());
        let again = learned.send(false);
        assert_eq!(
            learned.take_in(refused, &page, &doubted, again, Instant::now()),
            hold(status),
            "{status}"
        );
        let late = learned.send(false);
        learned.take_in(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain(), late, Instant::now());
        let last = learned.send(false);
        assert_eq!(learned.take_in(refused, &page, &doubted, last, Instant::now()), refused, "{status}");
    }
}

#[test]
fn hec_itself_may_judge_a_single_event_unless_it_contradicts_itself() {
    let mut learned = Learned::new(Compression::Gzip, "here".to_owned());
    let compressed = request(1, 100, Compression::Gzip, Form::Usual);
    let bisect = Disposition::Bisect;
    assert_eq!(
        learned.take_in(bisect, &reply(400, ""), &compressed, sent(None), Instant::now()),
        bisect,
        "a trial comes first"
    );
    assert_eq!(
        learned.take_in(bisect, &reply(400, r#"{"code":99}"#), &plain(), sent(None), Instant::now()),
        bisect
    );
    let (split, own) = (Disposition::Split, reply(413, r#"{"code":413}"#));
    let large = request(1, 60_000, Compression::Gzip, Form::Usual);
    assert_eq!(learned.take_in(split, &own, &large, sent(None), Instant::now()), split);
    assert_eq!(learned.bytes_max(Instant::now()), 48_000);
    let hold = Disposition::Hold(HoldReason::RefusesAll(StatusCode::PAYLOAD_TOO_LARGE));
    assert_eq!(
        learned.take_in(split, &own, &plain(), sent(None), Instant::now()),
        hold,
        "larger ones were taken"
    );
    assert_eq!(learned.bytes_max(Instant::now()), 48_000);
}

#[test]
fn what_was_learned_is_tried_anew_after_a_while() {
    let start = Instant::now();
    let mut learned = Learned::new(Compression::Gzip, "here".to_owned());
    let large = request(9, 900_000, Compression::Gzip, Form::Usual);
    for round in 0..3 {
        let now = start + Duration::from_hours(round);
        assert_eq!((learned.bytes_max(now), learned.compression(now)), (usize::MAX, Compression::Gzip));
        learned.take_in(Disposition::Split, &reply(413, ""), &large, sent(None), now);
        learned.take_in(Disposition::WithoutGzip, &reply(415, ""), &large, sent(None), now);
        let size_ends = now + SIZE_LASTS;
        let before = size_ends - Duration::from_millis(1);
        assert_eq!((learned.bytes_max(before), learned.bytes_max(size_ends)), (720_000, usize::MAX));
        let plain_ends = now + PLAIN_LASTS;
        let before = plain_ends - Duration::from_millis(1);
        assert_eq!(learned.compression(before), Compression::None);
        assert_eq!(learned.compression(plain_ends), Compression::Gzip);
        // A lower limit counts from its own time on.
        let later = now + SIZE_LASTS / 2;
        let smaller = request(9, 100_000, Compression::Gzip, Form::Usual);
        learned.take_in(Disposition::Split, &reply(413, ""), &smaller, sent(None), later);
        assert_eq!(learned.bytes_max(size_ends), 80_000);
        assert_eq!(learned.bytes_max(later + SIZE_LASTS), usize::MAX);
    }
}

#[test]
fn the_third_success_in_a_row_that_says_nothing_holds() {
    let mut learned = Learned::new(Compression::Gzip, "here".to_owned());
    let page = reply(200, "<html>");
    let held = Disposition::Hold(HoldReason::NotHec(StatusCode::OK));
    let doubt = Disposition::Retry { after: None, taken: Taken::Perhaps };
    let mut read = |disposition, exchange: &Exchange| {
        learned.take_in(disposition, exchange, &plain(), sent(None), Instant::now())
    };
    let busy = Disposition::Retry { after: None, taken: Taken::No };
    assert_eq!([read(held, &page), read(held, &page)], [doubt, doubt]);
    read(ACCEPTED, &reply(200, r#"{"code":0}"#));
    assert_eq!([read(held, &page), read(held, &page)], [doubt, doubt]);
    assert_eq!(read(busy, &reply(503, "")), busy, "this proves nothing");
    assert_eq!([read(held, &page), read(held, &page)], [held, held]);
    let other = Disposition::Hold(HoldReason::NotHec(StatusCode::BAD_REQUEST));
    assert_eq!(read(other, &reply(400, "")), other);
}
