//! The lanes of an endpoint: credit, breaks, cookies, the fall back and the way out of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use super::ways::{LANES_STICKY, RETIRED_MAX};
use super::*;
use crate::hec::ack::poll::{Answer, NO_ID};
use crate::hec::ack::{AckConfig, AckMode};

const SECOND: Duration = Duration::from_secs(1);

fn lanes(mode: AckMode) -> (Arc<Lanes>, Instant) {
    with_room(mode, 1 << 20)
}

fn with_room(mode: AckMode, pending_bytes_max: usize) -> (Arc<Lanes>, Instant) {
    let desk = Arc::new(Desk::new(AckConfig { mode, pending_bytes_max, ..AckConfig::default() }));
    desk.open();
    let now = Instant::now();
    (Arc::new(Lanes::new(desk, "there".to_owned(), now)), now)
}

fn reply(ack_id: u64) -> Reply<'static> {
    Reply { ack_id: Some(ack_id), bytes: 100, set_cookies: &[], filling: false }
}

type Fates = Arc<Mutex<Vec<(u64, Fate)>>>;

/// A request whose reply brings this id; its fate goes to `fates`, under the id.
fn take(lanes: &Arc<Lanes>, id: u64, now: Instant, fates: &Fates) -> Uuid {
    let pass = lanes.begin(now);
    note(lanes.taken(&pass, reply(id), now), id, fates);
    pass.channel
}

fn take_all(lanes: &Arc<Lanes>, ids: Range<u64>, now: Instant, fates: &Fates) {
    for id in ids {
        take(lanes, id, now, fates);
    }
}

fn note(credit: Option<Credit>, id: u64, fates: &Fates) {
    let Some(Credit::Pending(receipt)) = credit else { panic!("{credit:?}") };
    let fates = fates.clone();
    receipt.then(move |fate| fates.lock().unwrap().push((id, fate)));
}

fn counters(lanes: &Lanes) -> super::super::AckCounters {
    lanes.desk.status(None, 0).counters
}

fn poll(lanes: &Arc<Lanes>, now: Instant) -> Poll {
    let mut polls = lanes.begin_polls(now);
    // Others are for a cookie.
    polls.retain(|poll| poll.ids != [NO_ID]);
    assert_eq!(polls.len(), 1);
    polls.remove(0)
}

fn all_true(poll: &Poll) -> Answer {
    Answer::Statuses(poll.ids.iter().map(|id| (*id, true)).collect())
}

fn all_false(poll: &Poll) -> Answer {
    Answer::Statuses(poll.ids.iter().map(|id| (*id, false)).collect())
}

fn cookie(value: &str) -> Vec<HeaderValue> {
    vec![HeaderValue::from_str(&format!("node={value}; Path=/")).unwrap()]
}

#[test]
fn without_an_id_it_is_delivered_unless_acks_are_required() {
    let none = Reply { ack_id: None, ..reply(0) };
    let (auto, now) = lanes(AckMode::Auto);
    assert!(matches!(auto.taken(&auto.begin(now), none, now), Some(Credit::Delivered)));
    let (required, now) = lanes(AckMode::Required);
    assert!(required.must_ask());
    required.note_acknowledges(true);
    assert!(!required.must_ask());
    assert!(required.taken(&required.begin(now), none, now).is_none());
    assert!(required.must_ask(), "before more is sent");
}

#[test]
fn nobody_asks_so_nobody_waits() {
    let fates = Fates::default();
    for mode in [AckMode::Auto, AckMode::Required] {
        let (lanes, now) = lanes(mode);
        take(&lanes, 0, now, &fates);
        lanes.desk.close();
        lanes.give_up(Fate::Unconfirmed, now);
        assert_eq!(std::mem::take(&mut *fates.lock().unwrap()), [(0, Fate::Unconfirmed)]);
        assert!(matches!(lanes.taken(&lanes.begin(now), reply(1), now), Some(Credit::Unconfirmed)));
        assert_eq!(counters(&lanes).batches_unconfirmed, 2);
        assert!(lanes.is_idle());
    }
}

#[test]
fn a_poll_settles_what_it_confirms_and_a_lost_one_nothing() {
    let ((lanes, start), fates) = (lanes(AckMode::Auto), Fates::default());
    take_all(&lanes, 0..3, start, &fates);
    assert_eq!(lanes.due(), Some(start + SECOND));
    assert!(lanes.begin_polls(start).is_empty());
    drop(poll(&lanes, start + SECOND));
    assert_eq!((fates.lock().unwrap().len(), counters(&lanes).polls_uncertain), (0, 3));
    let later = start + SECOND * 10;
    let second = poll(&lanes, later);
    let answer = Answer::Statuses(BTreeMap::from([(0, true), (1, false)]));
    second.ended(&answer, "", &[], later);
    assert_eq!(*fates.lock().unwrap(), [(0, Fate::Delivered)]);
    assert_eq!(lanes.desk.status(None, 0).pending_bytes, 200);
}

#[test]
fn every_odd_answer_keeps_what_is_pending_but_that_acks_are_off() {
    let answers = [Answer::Channel, Answer::Token, Answer::NotAsked, Answer::Refused, Answer::Uncertain];
    for mode in [AckMode::Auto, AckMode::Required] {
        for answer in answers.iter().chain([&Answer::Disabled]) {
            let ((lanes, start), fates) = (lanes(mode), Fates::default());
            let channel = take(&lanes, 0, start, &fates);
            let now = start + SECOND;
            poll(&lanes, now).ended(answer, "odd", &[], now);
            let delivered = *answer == Answer::Disabled && mode == AckMode::Auto;
            assert_eq!(fates.lock().unwrap().len(), usize::from(delivered), "{mode:?} {answer:?}");
            let moved = lanes.begin(now).channel != channel;
            assert_eq!(moved, *answer == Answer::Channel, "{answer:?}");
            assert_eq!(counters(&lanes).batches_disabled, u64::from(delivered));
            // What is kept is still asked for, and given up in its time.
            lanes.expire(start + SECOND * 300);
            let expected = if delivered { Fate::Delivered } else { Fate::Lost };
            assert_eq!(*fates.lock().unwrap(), [(0, expected)], "{answer:?}");
        }
    }
}

#[test]
fn a_break_sends_again_what_was_pending_and_goes_on_by_another_channel() {
    let ((lanes, now), fates) = (lanes(AckMode::Auto), Fates::default());
    let channel = take(&lanes, 5, now, &fates);
    take(&lanes, 6, now, &fates);
    assert_eq!(take(&lanes, 0, now, &fates), channel);
    assert_eq!(*fates.lock().unwrap(), [(5, Fate::Lost), (6, Fate::Lost)]);
    assert_ne!(take(&lanes, 0, now, &fates), channel);
    let now = now + SECOND;
    for poll in lanes.begin_polls(now) {
        let answer = all_true(&poll);
        poll.ended(&answer, "", &[], now);
    }
    let fates = fates.lock().unwrap();
    assert_eq!(fates[2..], [(0, Fate::Delivered), (0, Fate::Delivered)]);
    let counters = counters(&lanes);
    assert_eq!((counters.epoch_breaks, counters.batches_resent, counters.late_duplicates), (1, 2, 2));
}

#[test]
fn after_three_breaks_nothing_is_waited_for_until_it_is_tried_again() {
    let ((lanes, now), fates) = (lanes(AckMode::Auto), Fates::default());
    for _ in 0..3 {
        take(&lanes, 0, now, &fates);
        take(&lanes, 0, now, &fates);
    }
    assert!(lanes.is_distrusted());
    assert!(matches!(lanes.taken(&lanes.begin(now), reply(9), now), Some(Credit::Unconfirmed)));
    let before = lanes.begin(now).channel;
    let later = now + SECOND * 600;
    assert_ne!(take(&lanes, 0, later, &fates), before, "a channel of its own");
    assert!(!lanes.is_distrusted());
    assert_eq!(lanes.hold(later), None, "auto holds nothing");
}

#[test]
fn where_acks_are_required_three_breaks_hold_the_endpoint() {
    let ((lanes, now), fates) = (lanes(AckMode::Required), Fates::default());
    for _ in 0..3 {
        assert_eq!(lanes.hold(now), None);
        take(&lanes, 0, now, &fates);
        take(&lanes, 0, now, &fates);
    }
    assert_eq!(lanes.hold(now), Some(HoldReason::AcksScattered));
    assert_eq!(lanes.hold(now + SECOND * 600), None);
}

#[test]
fn more_than_may_be_pending_is_unconfirmed_or_has_to_wait() {
    let ((auto, now), fates) = (with_room(AckMode::Auto, 350), Fates::default());
    take_all(&auto, 0..3, now, &fates);
    assert!(auto.has_room(100));
    assert!(matches!(auto.taken(&auto.begin(now), reply(3), now), Some(Credit::Unconfirmed)));
    let later = now + SECOND;
    let poll = poll(&auto, later);
    let answer = all_true(&poll);
    poll.ended(&answer, "", &[], later);
    take(&auto, 4, now, &fates);

    let (required, now) = with_room(AckMode::Required, 350);
    (0..3).for_each(|id| {
        assert!(required.has_room(100));
        take(&required, id, now, &fates);
    });
    assert!(!required.has_room(100));
    take(&required, 3, now, &fates);
    required.give_up(Fate::Delivered, now);
    assert!(required.has_room(10_000), "one by itself always has");
}

#[test]
fn time_outs_are_sent_again_by_another_lane_and_too_many_are_believed() {
    let ((lanes, start), fates) = (lanes(AckMode::Auto), Fates::default());
    let channel = take(&lanes, 0, start, &fates);
    take_all(&lanes, 1..8, start, &fates);
    let asked = start + SECOND;
    let first = poll(&lanes, asked);
    let answer = all_false(&first);
    first.ended(&answer, "", &[], asked);
    assert!(lanes.due().unwrap() < start + SECOND * 300);
    let end = start + SECOND * 300;
    lanes.expire(end);
    assert_eq!(fates.lock().unwrap().iter().filter(|(_, fate)| *fate == Fate::Lost).count(), 8);
    assert_ne!(lanes.begin(end).channel, channel);
    assert!(lanes.is_distrusted());
    assert_eq!((counters(&lanes).timeouts, counters(&lanes).batches_resent), (8, 8));
}

#[test]
fn a_server_that_is_away_is_not_held_against_its_acks() {
    let ((lanes, start), fates) = (lanes(AckMode::Auto), Fates::default());
    take_all(&lanes, 0..50, start, &fates);
    let asked = start + SECOND;
    poll(&lanes, asked).ended(&Answer::NotAsked, "refused", &[], asked);
    lanes.expire(start + SECOND * 300);
    assert!(!lanes.is_distrusted());
    assert_eq!(counters(&lanes).timeouts, 50);
}

#[test]
fn cookies_go_with_their_lane_and_there_are_several_then() {
    let ((lanes, now), fates) = (lanes(AckMode::Auto), Fates::default());
    let first = lanes.begin(now);
    assert_eq!(first.cookies, None);
    let set = cookie("a");
    note(lanes.taken(&first, Reply { set_cookies: &set, ..reply(0) }, now), 0, &fates);
    let channel = first.channel;
    drop(first);
    assert!((0..8).all(|_| lanes.begin(now).channel == channel), "the others have no cookie yet");
    for (node, poll) in ('b'..).zip(lanes.begin_polls(now)) {
        let answer = all_false(&poll);
        poll.ended(&answer, "", &cookie(&node.to_string()), now);
    }
    let passes = [(); 12].map(|()| lanes.begin(now));
    let mut channels: Vec<_> = passes.iter().map(|pass| pass.channel).collect();
    channels.sort_unstable();
    channels.dedup();
    assert_eq!(channels.len(), LANES_STICKY);
    let mut cookies: Vec<_> = passes.iter().map(|pass| pass.cookies.clone().unwrap()).collect();
    cookies.sort_unstable();
    cookies.dedup();
    assert_eq!(cookies, ["node=a", "node=b", "node=c", "node=d"]);
}

#[test]
fn a_changed_cookie_means_what_the_ids_say() {
    // On a reply to data: the ids go on, so nothing has happened, now or later.
    let ((restless, now), fates) = (lanes(AckMode::Auto), Fates::default());
    let passes = ["a", "b", "c"].map(|value| (restless.begin(now), cookie(value)));
    let one = passes[0].0.channel;
    for (id, (pass, set)) in (0..).zip(&passes) {
        note(restless.taken(pass, Reply { set_cookies: set, ..reply(id) }, now), id, &fates);
    }
    assert!(passes.iter().all(|(pass, _)| pass.channel == one));
    let later = now + SECOND;
    let asked = poll(&restless, later);
    assert_eq!(asked.cookies.as_ref().unwrap(), "node=c");
    let answer = all_false(&asked);
    asked.ended(&answer, "", &cookie("d"), later);
    let held = restless.lock().lanes.iter().filter(|way| way.retired).count();
    assert_eq!((held, fates.lock().unwrap().len()), (0, 0));

    // On an answer that confirms nothing: another lane for what comes, and the old cookie for what waits.
    let ((moved, now), fates) = (lanes(AckMode::Auto), Fates::default());
    let pass = moved.begin(now);
    note(moved.taken(&pass, Reply { set_cookies: &cookie("a"), ..reply(0) }, now), 0, &fates);
    let channel = pass.channel;
    drop(pass);
    let later = now + SECOND;
    let asked = poll(&moved, later);
    let answer = all_false(&asked);
    asked.ended(&answer, "", &cookie("b"), later);
    assert!((0..8).all(|_| moved.begin(later).channel != channel));
    assert!(fates.lock().unwrap().is_empty(), "nothing is sent twice for a cookie alone");
    let much_later = later + SECOND * 10;
    let again = poll(&moved, much_later);
    assert_eq!((again.channel, again.cookies.clone().unwrap()), (channel, "node=a".parse().unwrap()));
    let answer = all_true(&again);
    again.ended(&answer, "", &[], much_later);
    assert_eq!(*fates.lock().unwrap(), [(0, Fate::Delivered)]);
}

#[test]
fn a_refused_channel_is_replaced_once_and_its_acks_are_still_asked_for() {
    let ((lanes, now), fates) = (lanes(AckMode::Auto), Fates::default());
    let full = StatusCode::TOO_MANY_REQUESTS;
    let fresh = lanes.begin(now).channel;
    assert_eq!(lanes.refused_channel(fresh, full, now), Disposition::Retry { after: None, taken: Taken::No });
    let bad = lanes.refused_channel(fresh, StatusCode::BAD_REQUEST, now);
    assert_eq!(bad, Disposition::Hold(HoldReason::Channel));
    let channel = take(&lanes, 0, now, &fates);
    for _ in 0..2 {
        assert_eq!(lanes.refused_channel(channel, full, now), Disposition::FreshChannel);
    }
    assert_ne!(lanes.begin(now).channel, channel);
    // At once.
    assert_eq!(poll(&lanes, now).channel, channel);
}

#[test]
fn retired_lanes_are_few_and_those_with_nothing_left_go() {
    let ((lanes, now), fates) = (lanes(AckMode::Auto), Fates::default());
    for _ in 0..RETIRED_MAX + 5 {
        let channel = take(&lanes, 0, now, &fates);
        assert_eq!(lanes.refused_channel(channel, StatusCode::BAD_REQUEST, now), Disposition::FreshChannel);
        // However long ids are asked for that were given up.
        assert!(lanes.lock().lanes.len() <= RETIRED_MAX + 1);
    }
    assert_eq!(*fates.lock().unwrap(), vec![(0, Fate::Lost); 5]);
    lanes.give_up(Fate::Unconfirmed, now);
    let later = now + SECOND * 700;
    drop(lanes.begin(later));
    assert_eq!(lanes.lock().lanes.len(), 1);
}
