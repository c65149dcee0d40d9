//! What to ask the platform for, worked out from the set of events that are wanted.
//!
//! The routers share a stream's envelopes among the streams of a shard id per selector: every
//! instance must ask in exactly the same way, and selectors that overlap would deliver twice.
//! So the answer depends on the set alone, names no source, and has one selector per type.

use super::percent;
use crate::proto::loggregator::{
    CounterSelector, EventSelector, GaugeSelector, LogSelector, Selector, TimerSelector, selector::Message,
};

/// Which kinds of envelopes are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectorKinds {
    /// Application logs (v1 `LogMessage`).
    pub logs: bool,
    /// Errors (v1 `Error`): a kind of their own on v1, logs on v2.
    pub errors: bool,
    /// Counters.
    pub counters: bool,
    /// Gauges (v1 `ValueMetric` and `ContainerMetric`).
    pub gauges: bool,
    /// Timers (v1 `HttpStartStop`).
    pub timers: bool,
    /// Events, which v1 does not have.
    pub events: bool,
    /// What only v1 has, if anything still sends it (`HttpStart`, `HttpStop`).
    pub v1_only: bool,
}

impl SelectorKinds {
    /// Every kind.
    pub const ALL: Self = Self {
        logs: true,
        errors: true,
        counters: true,
        gauges: true,
        timers: true,
        events: true,
        v1_only: true,
    };

    /// Whether v2 sources carry any of them.
    pub fn any_in_v2(self) -> bool {
        self != Self { v1_only: self.v1_only, ..Self::default() }
    }

    /// Whether the v1 firehose carries any of them.
    pub fn any_in_v1(self) -> bool {
        self.logs || self.v1_beside_logs()
    }

    fn v1_beside_logs(self) -> bool {
        self.errors || self.counters || self.gauges || self.timers || self.v1_only
    }
}

/// The selectors for v2, one per type, in the order of the types.
pub fn selectors(kinds: SelectorKinds) -> Vec<Selector> {
    [
        (kinds.logs || kinds.errors).then_some(Message::Log(LogSelector {})),
        kinds.counters.then(|| Message::Counter(CounterSelector { name: String::new() })),
        kinds.gauges.then(|| Message::Gauge(GaugeSelector { names: Vec::new() })),
        kinds.timers.then_some(Message::Timer(TimerSelector {})),
        kinds.events.then_some(Message::Event(EventSelector {})),
    ]
    .into_iter()
    .flatten()
    .map(|message| Selector { source_id: String::new(), message: Some(message) })
    .collect()
}

/// The query that asks a gateway for the same as [`selectors`] does.
pub fn gateway_query(shard_id: &str, kinds: SelectorKinds) -> String {
    let mut query = format!("shard_id={}", percent::encode(shard_id));
    for selector in selectors(kinds) {
        query += match selector.message {
            Some(Message::Log(_)) => "&log",
            Some(Message::Counter(_)) => "&counter",
            Some(Message::Gauge(_)) => "&gauge",
            Some(Message::Timer(_)) => "&timer",
            Some(Message::Event(_)) => "&event",
            None => "",
        };
    }
    query
}

/// The part of the firehose a v1 connection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirehoseFilter {
    /// Everything.
    None,
    /// Log messages only.
    Logs,
    /// Everything but log messages.
    Metrics,
}

impl FirehoseFilter {
    /// The query string, with its question mark, or nothing.
    pub fn query(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Logs => "?filter-type=logs",
            Self::Metrics => "?filter-type=metrics",
        }
    }
}

/// The narrowest filter that lets everything wanted through.
pub fn firehose_filter(kinds: SelectorKinds) -> FirehoseFilter {
    match (kinds.logs, kinds.v1_beside_logs()) {
        (true, false) => FirehoseFilter::Logs,
        (false, true) => FirehoseFilter::Metrics,
        (true, true) | (false, false) => FirehoseFilter::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: SelectorKinds = SelectorKinds {
        logs: false,
        errors: false,
        counters: false,
        gauges: false,
        timers: false,
        events: false,
        v1_only: false,
    };

    fn names(kinds: SelectorKinds) -> Vec<&'static str> {
        let name = |selector: Selector| {
            assert_eq!(selector.source_id, "");
            match selector.message {
                Some(Message::Log(_)) => "log",
                Some(Message::Counter(counter)) => {
                    assert_eq!(counter.name, "");
                    "counter"
                }
                Some(Message::Gauge(gauge)) => {
                    assert!(gauge.names.is_empty());
                    "gauge"
                }
                Some(Message::Timer(_)) => "timer",
                Some(Message::Event(_)) => "event",
                None => "nothing",
            }
        };
        selectors(kinds).into_iter().map(name).collect()
    }

    #[test]
    fn each_kind_is_asked_for_once_and_in_order() {
        assert_eq!(names(SelectorKinds::ALL), ["log", "counter", "gauge", "timer", "event"]);
        assert_eq!(names(SelectorKinds { logs: true, errors: true, ..NONE }), ["log"]);
        assert_eq!(names(SelectorKinds { errors: true, ..NONE }), ["log"]);
        assert_eq!(names(SelectorKinds { timers: true, gauges: true, ..NONE }), ["gauge", "timer"]);
        assert!(names(NONE).is_empty());
    }

    #[test]
    fn a_gateway_is_asked_for_the_same() {
        let all = gateway_query("an id/&=+ä", SelectorKinds::ALL);
        assert_eq!(all, "shard_id=an%20id%2F%26%3D%2B%C3%A4&log&counter&gauge&timer&event");
        assert_eq!(gateway_query("x", SelectorKinds { errors: true, ..NONE }), "shard_id=x&log");
        let two = SelectorKinds { timers: true, gauges: true, v1_only: true, ..NONE };
        assert_eq!(gateway_query("x", two), "shard_id=x&gauge&timer");
    }

    #[test]
    fn kinds_are_carried_by_one_version_or_both() {
        let cases = [
            (NONE, false, false),
            (SelectorKinds { events: true, ..NONE }, true, false),
            (SelectorKinds { v1_only: true, ..NONE }, false, true),
            (SelectorKinds { logs: true, ..NONE }, true, true),
            (SelectorKinds { errors: true, ..NONE }, true, true),
            (SelectorKinds { timers: true, v1_only: true, ..NONE }, true, true),
        ];
        for (kinds, v2, v1) in cases {
            assert_eq!((kinds.any_in_v2(), kinds.any_in_v1()), (v2, v1), "{kinds:?}");
            assert_eq!(selectors(kinds).is_empty(), !v2, "{kinds:?}");
        }
    }

    #[test]
    fn the_v1_filter_never_hides_what_is_wanted() {
        let cases = [
            (SelectorKinds::ALL, FirehoseFilter::None),
            (SelectorKinds { logs: true, ..NONE }, FirehoseFilter::Logs),
            (SelectorKinds { logs: true, events: true, ..NONE }, FirehoseFilter::Logs),
            (SelectorKinds { errors: true, ..NONE }, FirehoseFilter::Metrics),
            (SelectorKinds { logs: true, errors: true, ..NONE }, FirehoseFilter::None),
            (SelectorKinds { counters: true, timers: true, ..NONE }, FirehoseFilter::Metrics),
            (SelectorKinds { v1_only: true, ..NONE }, FirehoseFilter::Metrics),
            (SelectorKinds { logs: true, v1_only: true, ..NONE }, FirehoseFilter::None),
            (NONE, FirehoseFilter::None),
        ];
        for (kinds, filter) in cases {
            assert_eq!(firehose_filter(kinds), filter, "{kinds:?}");
        }
    }
}
