//! The decision table, over all HEC codes and the statuses seen in front of a HEC.

use super::*;
use Disposition::{Accepted, Bisect, FreshChannel, Hold, Isolate, Split, WithoutGzip};

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

fn body(text: &str) -> ReplyBody {
    ReplyBody::parse(text.as_bytes())
}

fn strict(code: u16, text: &str) -> Disposition {
    classify(status(code), None, &body(text), ResponseMode::Strict)
}

fn lenient(code: u16, text: &str) -> Disposition {
    classify(status(code), None, &body(text), ResponseMode::Lenient)
}

const CLEAN: Disposition = Disposition::Retry { after: None, taken: Taken::No };
const AMBIGUOUS: Disposition = Disposition::Retry { after: None, taken: Taken::Perhaps };

fn token(code: u16, hec: Option<i64>) -> Disposition {
    Hold(HoldReason::Token { status: status(code), code: hec.map(HecCode) })
}

fn isolate(code: i64, event_number: Option<u64>) -> Disposition {
    Isolate { code: HecCode(code), event_number }
}

#[test]
fn every_code_of_hec_has_its_meaning() {
    let cases = [
        (200, 0, "", Accepted(Pace::Steady)),
        (403, 1, "", token(403, Some(1))),
        (401, 2, "", token(401, Some(2))),
        (401, 3, "", token(401, Some(3))),
        (403, 4, "", token(403, Some(4))),
        (400, 5, "", isolate(5, None)),
        (400, 6, r#","invalid-event-number":3"#, isolate(6, Some(3))),
        (400, 6, "", isolate(6, None)),
        (400, 7, r#","invalid-event-number":1"#, isolate(7, Some(1))),
        (500, 8, "", AMBIGUOUS),
        (503, 9, "", CLEAN),
        (503, 9, r#","invalid-event-number":0"#, CLEAN),
        (503, 9, r#","invalid-event-number":4"#, AMBIGUOUS),
        (400, 10, "", FreshChannel),
        (400, 11, "", FreshChannel),
        (400, 12, r#","invalid-event-number":0"#, isolate(12, Some(0))),
        (400, 13, r#","invalid-event-number":0"#, isolate(13, Some(0))),
        (400, 14, "", Bisect),
        (400, 15, r#","invalid-event-number":"9""#, isolate(15, Some(9))),
        (400, 16, "", token(400, Some(16))),
        (200, 17, "", Hold(HoldReason::NotHec(status(200)))),
        (503, 18, "", CLEAN),
        (503, 19, "", CLEAN),
        (503, 20, "", CLEAN),
        (400, 21, "", token(400, Some(21))),
        (400, 22, "", token(400, Some(22))),
        (503, 23, "", CLEAN),
        (200, 24, "", Accepted(Pace::SlowDown)),
        (200, 25, "", Accepted(Pace::SlowDown)),
        (429, 26, "", CLEAN),
        (429, 27, "", FreshChannel),
        (400, 28, "", FreshChannel),
        (404, 404, "", Hold(HoldReason::WrongPath(status(404)))),
        (405, 404, "", Hold(HoldReason::WrongPath(status(405)))),
        (400, 99, "", Bisect),
        (503, 99, "", CLEAN),
        (500, 99, "", AMBIGUOUS),
        // A 2xx proves nothing: the code decides.
        (200, 4, "", token(200, Some(4))),
        (200, 6, r#","invalid-event-number":2"#, isolate(6, Some(2))),
        (200, 7, "", isolate(7, None)),
        (200, 9, "", CLEAN),
        (200, 99, "", Hold(HoldReason::NotHec(status(200)))),
        (201, 0, "", Accepted(Pace::Steady)),
        // A code may come under the wrong status.
        (400, 9, "", CLEAN),
        (400, 8, "", AMBIGUOUS),
        (400, 4, "", token(400, Some(4))),
        (400, 404, "", Hold(HoldReason::WrongPath(status(400)))),
    ];
    for (http, code, rest, expected) in cases {
        let text = format!(r#"{{"text":"t","code":{code}{rest}}}"#);
        assert_eq!(strict(http, &text), expected, "strict {http} {text}");
        assert_eq!(lenient(http, &text), expected, "lenient {http} {text}");
    }
}

/// Statuses whose meaning does not depend on what a gateway writes into the body.
fn bare(code: u16) -> Disposition {
    let at = status(code);
    match code {
        400 => Bisect,
        401 | 403 => token(code, None),
        404 | 405 => Hold(HoldReason::WrongPath(at)),
        407 => Hold(HoldReason::ProxyAuthentication),
        413 => Split,
        415 => WithoutGzip,
        425 | 429 | 503 => CLEAN,
        408 | 500 | 502 | 504 | 506..=508 | 509..=530 | 598 | 599 => AMBIGUOUS,
        300..=399 => Hold(HoldReason::Redirect(at)),
        _ => Hold(HoldReason::Unexpected(at)),
    }
}

#[test]
fn bare_statuses_are_decided_whatever_the_body() {
    let statuses = [
        300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411,
        412, 413, 414, 415, 416, 417, 418, 421, 422, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503,
        504, 505, 507, 509, 511, 520, 521, 522, 523, 524, 525, 526, 527, 530, 599, 600,
    ];
    let huge = "x".repeat(super::super::reply::REPLY_BYTES_MAX);
    let bodies = ["", "<html><h1>no</h1></html>", r#"{"text":"Succ"#, "upstream", huge.as_str(), "\"OK\""];
    for code in statuses {
        for text in bodies {
            let shown = &text[..text.len().min(30)];
            assert_eq!(strict(code, text), bare(code), "strict {code} {shown}");
            assert_eq!(lenient(code, text), bare(code), "lenient {code} {shown}");
        }
        // What was cut off may have named an event, or said how far it came.
        let cut = if matches!(code, 400 | 503) { AMBIGUOUS } else { bare(code) };
        for mode in [ResponseMode::Strict, ResponseMode::Lenient] {
            assert_eq!(classify(status(code), None, &ReplyBody::Cut, mode), cut, "{code} cut short");
        }
    }
}

#[test]
fn a_2xx_that_hec_did_not_write_is_success_only_in_lenient_mode() {
    for code in [200, 201, 202, 204] {
        let held = Hold(HoldReason::NotHec(status(code)));
        let huge = "x".repeat(super::super::reply::REPLY_BYTES_MAX);
        for text in ["", "\"OK\"", "ok", r#"{"text":"Success"}"#, r#"{"text":"Success","co"#, &huge] {
            assert_eq!(strict(code, text), held, "{code} {text}");
            assert_eq!(lenient(code, text), Accepted(Pace::Steady), "{code} {text}");
        }
        let page = "<html>please log in</html>";
        assert_eq!(strict(code, page), held);
        assert_eq!(lenient(code, page), held);
    }
}

#[test]
fn a_body_cut_short_leaves_open_what_was_taken() {
    for mode in [ResponseMode::Strict, ResponseMode::Lenient] {
        for code in [200, 201, 400, 500, 503] {
            assert_eq!(classify(status(code), None, &ReplyBody::Cut, mode), AMBIGUOUS, "{code}");
        }
    }
}

#[test]
fn retry_after_is_passed_on_with_every_retry() {
    let after = Some(Duration::from_secs(7));
    for code in [408, 425, 429, 500, 502, 503, 504, 520] {
        let decided = classify(status(code), after, &ReplyBody::Empty, ResponseMode::Strict);
        assert!(matches!(decided, Disposition::Retry { after: given, .. } if given == after), "{code}");
    }
    let busy = body(r#"{"code":9}"#);
    let decided = classify(status(200), after, &busy, ResponseMode::Strict);
    assert_eq!(decided, Disposition::Retry { after, taken: Taken::No });
}

#[test]
fn without_a_reply_only_what_was_sent_matters() {
    assert_eq!(classify_transport(TransportFailure::Unreachable), CLEAN);
    assert_eq!(classify_transport(TransportFailure::Interrupted), AMBIGUOUS);
    assert_eq!(classify_transport(TransportFailure::Certificate), Hold(HoldReason::Certificate));
    assert_eq!(classify_transport(TransportFailure::NotTls), Hold(HoldReason::NotTls));
}
