//! The parameters of a request, and the selectors they mean.

use url::form_urlencoded;

use crate::proto::loggregator as v2;
use crate::proto::loggregator::selector::Message;
use crate::sim::foundation::router::RlpRequest;
use crate::sim::foundation::selector::Selector;

/// What a client asks for.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// All parameters, in their order.
    parameters: Vec<(String, String)>,
    pub(super) source_ids: Vec<String>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let parameters: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let source_ids = values(&parameters, "source_id").map(str::to_owned).collect();
        Self { parameters, source_ids }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// The same as a request of the log proxy; without selectors if no type was asked for.
    pub(super) fn request(&self) -> RlpRequest {
        RlpRequest {
            shard_id: self.first("shard_id"),
            selectors: self.selectors(),
            deterministic_name: self.first("deterministic_name"),
            use_preferred_tags: true,
        }
    }

    /// Every source id with every type.
    fn selectors(&self) -> Vec<Selector> {
        let types = self.types();
        let any_source = [String::new()];
        let source_ids = if self.source_ids.is_empty() { &any_source[..] } else { &self.source_ids };
        let selector = |source_id: &String, message: &Message| {
            Selector::parse(&v2::Selector { source_id: source_id.clone(), message: Some(message.clone()) })
        };
        source_ids
            .iter()
            .flat_map(|source_id| types.iter().filter_map(move |message| selector(source_id, message)))
            .collect()
    }

    /// Only the presence of a type counts, not its value; names replace the plain type.
    fn types(&self) -> Vec<Message> {
        let mut types = Vec::new();
        if self.has("log") {
            types.push(Message::Log(v2::LogSelector {}));
        }
        let counter = |name: &str| Message::Counter(v2::CounterSelector { name: name.to_owned() });
        if self.has("counter.name") {
            types.extend(values(&self.parameters, "counter.name").map(counter));
        } else if self.has("counter") {
            types.push(counter(""));
        }
        let gauge = |names: Vec<String>| Message::Gauge(v2::GaugeSelector { names });
        if self.has("gauge.name") {
            let lists = values(&self.parameters, "gauge.name");
            types.extend(lists.map(|list| gauge(list.split(',').map(str::to_owned).collect())));
        } else if self.has("gauge") {
            types.push(gauge(Vec::new()));
        }
        if self.has("timer") {
            types.push(Message::Timer(v2::TimerSelector {}));
        }
        if self.has("event") {
            types.push(Message::Event(v2::EventSelector {}));
        }
        types
    }

    fn has(&self, name: &str) -> bool {
        values(&self.parameters, name).next().is_some()
    }

    fn first(&self, name: &str) -> String {
        values(&self.parameters, name).next().unwrap_or_default().to_owned()
    }
}

fn values<'a>(parameters: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    parameters.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(source_id: &str, message: Message) -> Selector {
        Selector::parse(&v2::Selector { source_id: source_id.into(), message: Some(message) }).unwrap()
    }

    fn log() -> Message {
        Message::Log(v2::LogSelector {})
    }

    fn counter(name: &str) -> Message {
        Message::Counter(v2::CounterSelector { name: name.into() })
    }

    fn gauge(names: &[&str]) -> Message {
        Message::Gauge(v2::GaugeSelector { names: names.iter().map(|&name| name.into()).collect() })
    }

    #[test]
    fn parameters_mean_selectors() {
        let timer = || Message::Timer(v2::TimerSelector {});
        let event = || Message::Event(v2::EventSelector {});
        for (query, expected) in [
            ("", vec![]),
            ("shard_id=x&source_id=a", vec![]),
            ("log=false", vec![selector("", log())]),
            ("log&log", vec![selector("", log())]),
            ("counter", vec![selector("", counter(""))]),
            (
                "counter&counter.name=a&counter.name=b",
                vec![selector("", counter("a")), selector("", counter("b"))],
            ),
            ("counter.name=", vec![selector("", counter(""))]),
            (
                "gauge&gauge.name=cpu,memory&gauge.name=x",
                vec![selector("", gauge(&["cpu", "memory"])), selector("", gauge(&["x"]))],
            ),
            (
                "gauge&timer&event",
                vec![selector("", gauge(&[])), selector("", timer()), selector("", event())],
            ),
            (
                "source_id=a&source_id=b&log&counter",
                vec![
                    selector("a", log()),
                    selector("a", counter("")),
                    selector("b", log()),
                    selector("b", counter("")),
                ],
            ),
            ("source_id=a&source_id=a&log", vec![selector("a", log()), selector("a", log())]),
            ("source_id=a%20b%2Fc&log", vec![selector("a b/c", log())]),
        ] {
            assert_eq!(Query::parse(query).selectors(), expected, "{query}");
        }
    }

    #[test]
    fn of_what_can_be_said_once_the_first_counts() {
        let request =
            Query::parse("shard_id=a&shard_id=b&deterministic_name=x&deterministic_name=y&log").request();
        assert_eq!((request.shard_id.as_str(), request.deterministic_name.as_str()), ("a", "x"));
        assert!(request.use_preferred_tags);
    }
}
