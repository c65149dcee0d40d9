//! What to ask the platform for, worked out from the set of events that are wanted.
//!
//! The routers share a stream's envelopes among the streams of a shard id per selector: every
//! instance must ask in exactly the same way, and selectors that overlap would deliver twice.
//! So the answer depends on the set alone, names no source, and has one selector per type. The watch
//! stream shares nothing, and asks for little.

use super::percent;
use crate::proto::loggregator::{
    CounterSelector, EgressBatchRequest, EventSelector, GaugeSelector, LogSelector, Selector, TimerSelector,
    selector::Message,
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

/// What one stream asks a v2 source for.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// Its share of everything of these kinds.
    Share {
        /// Under which name streams share.
        shard_id: String,
        /// Which kinds.
        kinds: SelectorKinds,
    },
    /// A copy, for this stream alone, of what the platform tells of its losses and of its life.
    Watch,
}

/// Who counts what came in and what was dropped, and under which names.
const WATCHED_COUNTERS: ([&str; 2], [&str; 2]) = (["doppler", "reverse_log_proxy"], ["dropped", "ingress"]);

/// Who tells of slow consumers. It counts them as well; one of the two is enough.
const WATCHED_EVENTS: &str = "traffic_controller";

impl Wanted {
    /// The request for a reverse log proxy.
    pub(super) fn egress_request(&self) -> EgressBatchRequest {
        let (shard_id, selectors) = match self {
            Self::Share { shard_id, kinds } => (shard_id.clone(), selectors(*kinds)),
            // Without a shard id nothing is shared, and no two selectors may overlap.
            Self::Watch => (String::new(), watch_selectors()),
        };
        EgressBatchRequest {
            shard_id,
            selectors,
            // Otherwise every tag comes wrapped in a message of its own.
            use_preferred_tags: true,
            ..EgressBatchRequest::default()
        }
    }

    /// The query that asks a gateway for the same; where only a product of sources and names can be
    /// asked for, for a little more.
    pub(super) fn gateway_query(&self) -> String {
        match self {
            Self::Share { shard_id, kinds } => gateway_query(shard_id, *kinds),
            Self::Watch => {
                let (sources, names) = WATCHED_COUNTERS;
                let sources =
                    sources.iter().chain([&WATCHED_EVENTS]).map(|source| format!("source_id={source}&"));
                let names = names.iter().map(|name| format!("counter.name={name}&"));
                sources.chain(names).collect::<String>() + "event"
            }
        }
    }
}

fn watch_selectors() -> Vec<Selector> {
    let selector =
        |source_id: &str, message| Selector { source_id: source_id.to_owned(), message: Some(message) };
    let (sources, names) = WATCHED_COUNTERS;
    let counter = |name: &str| Message::Counter(CounterSelector { name: name.to_owned() });
    let counters = sources.iter().flat_map(|source| names.map(|name| selector(source, counter(name))));
    counters.chain([selector(WATCHED_EVENTS, Message::Event(EventSelector {}))]).collect()
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
    fn the_watch_stream_asks_for_a_copy_of_the_platforms_own_counters_and_events() {
        let request = Wanted::Watch.egress_request();
        assert_eq!((request.shard_id.as_str(), request.use_preferred_tags), ("", true));
        let shown = |selector: Selector| match selector.message {
            Some(Message::Counter(counter)) => format!("{} {}", selector.source_id, counter.name),
            Some(Message::Event(_)) => format!("{} event", selector.source_id),
            other => panic!("{other:?}"),
        };
        let asked: Vec<_> = request.selectors.into_iter().map(shown).collect();
        assert_eq!(
            asked,
            [
                "doppler dropped",
                "doppler ingress",
                "reverse_log_proxy dropped",
                "reverse_log_proxy ingress",
                "traffic_controller event",
            ]
        );
        assert_eq!(
            Wanted::Watch.gateway_query(),
            "source_id=doppler&source_id=reverse_log_proxy&source_id=traffic_controller\
             &counter.name=dropped&counter.name=ingress&event"
        );
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
