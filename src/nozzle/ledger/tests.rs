use super::*;

fn tally(events: u64, units: u64) -> Tally {
    Tally { events, units }
}

fn intake(received: u64, events: u64, units: u64) -> Intake {
    Intake { received, encoded: tally(events, units), ..Intake::default() }
}

#[test]
fn every_way_out_keeps_the_balance() {
    let ledger = Ledger::new();
    let mut first = intake(10, 9, 6);
    first.filtered[Filter::EventType as usize] = 3;
    first.parked = 1;
    ledger.intake(&first);
    assert!(ledger.snapshot().balance().is_err(), "nobody holds the events");
    ledger.open(Tally::default(), tally(9, 6));
    assert_eq!(ledger.snapshot().balance(), Ok(()));
    ledger.open(tally(9, 6), Tally::default());
    ledger.pooled(tally(9, 6));
    assert_eq!(ledger.snapshot().buffered(), 7);
    ledger.dropped_undecoded(Drop::QueueFull, 5);
    ledger.unpooled(tally(9, 6));
    ledger.delivered(tally(3, 2));
    ledger.unconfirmed(tally(1, 1));
    ledger.rejected("6", tally(1, 1));
    ledger.dropped(Drop::Shutdown, tally(4, 2));
    ledger.dropped_parked(Drop::Shutdown, 1);
    let end = ledger.snapshot();
    assert_eq!(end.balance(), Ok(()));
    assert_eq!((end.received, end.delivered, end.unconfirmed), (15, 2, 1));
    assert_eq!((end.lost(), end.buffered()), (8, 0));
    assert_eq!(end.events.fanned_out, 3);
}

#[test]
fn the_spool_is_a_place_to_be_and_to_come_from() {
    let ledger = Ledger::new();
    ledger.recovered(tally(5, 4));
    ledger.intake(&intake(2, 3, 2));
    ledger.spooled(tally(3, 2));
    let now = ledger.snapshot();
    assert_eq!(now.balance(), Ok(()));
    assert_eq!((now.received, now.recovered_from_spool, now.spooled, now.buffered()), (2, 4, 6, 0));
    assert_eq!((now.events.recovered_from_spool, now.events.spooled), (5, 8));
    ledger.unspooled(tally(5, 4));
    assert!(ledger.snapshot().balance().is_err(), "out of the spool, and in nobody's hands");
    ledger.delivered(tally(2, 2));
    ledger.dropped(Drop::SpoolFull, tally(3, 2));
    assert_eq!(ledger.snapshot().balance(), Ok(()));
    assert!(ledger.snapshot().to_string().contains("spooled"));
}

#[test]
fn a_batch_that_vanishes_is_an_imbalance() {
    let ledger = Ledger::new();
    ledger.intake(&intake(2, 1, 1));
    ledger.open(Tally::default(), tally(1, 1));
    let imbalance = ledger.snapshot().balance().unwrap_err();
    assert_eq!(imbalance.to_string(), "the ledger does not balance: envelopes in 2, accounted for 1");
    let ledger = Ledger::new();
    ledger.intake(&intake(1, 1, 1));
    ledger.pooled(tally(1, 1));
    ledger.unpooled(tally(1, 1));
    assert!(ledger.snapshot().balance().is_err(), "gone without a verdict");
    assert!(ledger.snapshot().to_string().contains("does not balance"));
}

#[test]
fn what_is_settled_twice_is_an_imbalance() {
    let ledger = Ledger::new();
    ledger.intake(&intake(1, 3, 1));
    ledger.delivered(tally(3, 1));
    assert_eq!(ledger.snapshot().balance(), Ok(()));
    ledger.delivered(tally(1, 0));
    let imbalance = ledger.snapshot().balance().unwrap_err();
    assert_eq!(imbalance.to_string(), "the ledger does not balance: events in 3, accounted for 4");
}

#[test]
fn made_up_codes_share_a_row() {
    let ledger = Ledger::new();
    for code in 0..REJECTED_ROWS_MAX + 10 {
        ledger.rejected(&code.to_string(), tally(1, 1));
    }
    let rows = ledger.snapshot().rejected;
    assert_eq!((rows.len(), rows["other"]), (REJECTED_ROWS_MAX + 1, 10));
}
