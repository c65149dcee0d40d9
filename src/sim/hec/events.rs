//! Judging a body event by event, as splunkd does.
//!
//! Envelopes follow each other with anything or nothing between them that JSON calls white
//! space, or stand in arrays. They are judged in order and the first bad one ends the request:
//! what precedes it is indexed, it and the rest are not. Pure: bytes in, verdict out.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::code::Code;
use super::config::Token;
use super::profile::{BadTime, Batches, Behaviour, Prefix};
use envelope::{Envelope, Envelopes, Malformed};
use fields::Fields;

mod envelope;
mod fields;

/// What an indexed event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A log event.
    Event,
    /// A data point or several, for a metrics index.
    Metric,
    /// A line of the raw endpoint.
    Raw,
}

/// What a request's query string sets for events that do not say it themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `host`
    pub host: Option<String>,
    /// `source`
    pub source: Option<String>,
    /// `sourcetype`
    pub sourcetype: Option<String>,
    /// `index`
    pub index: Option<String>,
    /// `time`
    pub time: Option<String>,
}

impl Defaults {
    /// The value for an envelope key.
    pub fn get(&self, key: &str) -> Option<&str> {
        match key {
            "host" => self.host.as_deref(),
            "source" => self.source.as_deref(),
            "sourcetype" => self.sourcetype.as_deref(),
            "index" => self.index.as_deref(),
            "time" => self.time.as_deref(),
            _ => None,
        }
    }
}

/// An event found fit to be indexed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Indexed<'a> {
    pub(super) text: &'a str,
    pub(super) kind: Kind,
    pub(super) index: Option<Cow<'a, str>>,
    pub(super) sourcetype: Option<Cow<'a, str>>,
}

/// How a body was judged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict<'a> {
    pub(super) indexed: Vec<Indexed<'a>>,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Code 0, though events after an unknown key are missing without a word.
    Accepted,
    /// A code, with the event number it names.
    Failed { code: Code, event_number: Option<u64> },
}

impl Outcome {
    pub(super) fn failed(code: Code, event_number: impl Into<Option<u64>>) -> Self {
        Self::Failed { code, event_number: event_number.into() }
    }
}

/// The rules one request's events are judged by.
#[derive(Debug)]
pub(super) struct Judge<'r> {
    pub(super) token: &'r Token,
    pub(super) defaults: &'r Defaults,
    pub(super) behaviour: &'r Behaviour,
}

/// Why an event ends the request.
enum Stop {
    At(Code),
    UnknownKey,
}

impl Judge<'_> {
    /// Judges a body of the event endpoint.
    ///
    /// `enqueue` gets the bytes of every good event and says whether the input queue took it.
    pub(super) fn envelopes<'b>(&self, body: &'b [u8], mut enqueue: impl FnMut(u64) -> bool) -> Verdict<'b> {
        let mut envelopes = Envelopes::new(body);
        let mut indexed = Vec::new();
        let mut number = 0;
        let outcome = loop {
            let stop = match envelopes.next() {
                None if number == 0 => break Outcome::failed(Code::NoData, None),
                None => break Outcome::Accepted,
                Some(Err(Malformed)) => Stop::At(Code::InvalidDataFormat),
                Some(Ok((text, envelope))) => match self.judge(text, envelope) {
                    Ok(Some(event)) if enqueue(text.len() as u64) => {
                        indexed.push(event);
                        number += 1;
                        continue;
                    }
                    Ok(Some(_)) => Stop::At(Code::ServerBusy),
                    Ok(None) => {
                        number += 1;
                        continue;
                    }
                    Err(stop) => stop,
                },
            };
            break match stop {
                Stop::At(code) => Outcome::failed(code, self.event_number(code, number)),
                Stop::UnknownKey if number == 0 && envelopes.is_at_end() => {
                    Outcome::failed(Code::NoData, None)
                }
                Stop::UnknownKey => Outcome::Accepted,
            };
        };
        self.settle(indexed, outcome)
    }

    /// Judges a body of the raw endpoint: lines, blank ones left out.
    pub(super) fn lines<'b>(&self, body: &'b [u8], mut enqueue: impl FnMut(u64) -> bool) -> Verdict<'b> {
        let mut indexed = Vec::new();
        // Bytes that are no UTF-8 end the text: what a real server would make of them is its
        // character set's business.
        let (text, broken) = match std::str::from_utf8(body) {
            Ok(text) => (text, false),
            Err(error) => (std::str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(), true),
        };
        let index = self.defaults.index.as_deref();
        if index.is_some_and(|index| !self.token.may_write(index)) {
            let outcome = Outcome::failed(Code::IncorrectIndex, self.event_number(Code::IncorrectIndex, 0));
            return self.settle(indexed, outcome);
        }
        for line in text.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty()) {
            if !enqueue(line.len() as u64) {
                let outcome = Outcome::failed(Code::ServerBusy, indexed.len() as u64);
                return self.settle(indexed, outcome);
            }
            indexed.push(Indexed { text: line, kind: Kind::Raw, index: None, sourcetype: None });
        }
        let outcome = match (broken, indexed.is_empty()) {
            (true, _) => Outcome::failed(Code::InvalidDataFormat, indexed.len() as u64),
            (false, true) => Outcome::failed(Code::NoData, None),
            (false, false) => Outcome::Accepted,
        };
        self.settle(indexed, outcome)
    }

    /// The checks on one event, in splunkd's order; `None` is an event without `event`
    /// and without a measurement, which is passed over.
    fn judge<'b>(&self, text: &'b str, envelope: Envelope<'b>) -> Result<Option<Indexed<'b>>, Stop> {
        if text.len() > self.behaviour.max_event_bytes {
            return Err(Stop::At(Code::InvalidDataFormat));
        }
        if envelope.unknown_key {
            return Err(Stop::UnknownKey);
        }
        let index = string(envelope.index)?;
        let sourcetype = string(envelope.sourcetype)?;
        string(envelope.host)?;
        string(envelope.source)?;
        self.check_time(envelope.time)?;
        let chosen = index.as_deref().or(self.defaults.index.as_deref());
        if chosen.is_some_and(|index| !self.token.may_write(index)) {
            return Err(Stop::At(Code::IncorrectIndex));
        }
        let event = present(envelope.event);
        let fields = present(envelope.fields);
        if event.is_none() && fields.is_none() {
            return Err(Stop::At(Code::EventRequired));
        }
        if event.is_some_and(|event| event.get() == "\"\"") {
            return Err(Stop::At(Code::EventBlank));
        }
        let fields = fields.map_or(Ok(Fields::Plain), fields::inspect).map_err(Stop::At)?;
        let kind = match (event.map(RawValue::get), fields) {
            (None, Fields::Plain) => return Ok(None),
            (None | Some("\"metric\""), Fields::Measurement) => Kind::Metric,
            (Some(_), _) => Kind::Event,
        };
        Ok(Some(Indexed { text, kind, index, sourcetype }))
    }

    fn check_time(&self, time: Option<&RawValue>) -> Result<(), Stop> {
        let Some(time) = present(time) else {
            return Ok(());
        };
        let text = time.get().trim_matches('"');
        let legal = text.parse::<f64>().is_ok_and(f64::is_finite);
        match self.behaviour.bad_time {
            BadTime::Rejected if !legal => Err(Stop::At(Code::InvalidDataFormat)),
            BadTime::Rejected | BadTime::Ignored => Ok(()),
        }
    }

    /// The event number a reply names when the event of this number is at fault.
    fn event_number(&self, code: Code, number: u64) -> u64 {
        match (code, self.behaviour.batches) {
            // Code 7 is found one step later than the others, and says so.
            (Code::IncorrectIndex, Batches::Prefix) => number + 1,
            _ => number,
        }
    }

    /// Applies what the profile does with the events before a fault.
    fn settle<'b>(&self, mut indexed: Vec<Indexed<'b>>, outcome: Outcome) -> Verdict<'b> {
        if let Outcome::Failed { code, .. } = outcome {
            let discarded = match code {
                Code::ServerBusy => self.behaviour.busy_prefix == Prefix::Discarded,
                _ => self.behaviour.batches == Batches::AllOrNothing,
            };
            if discarded {
                indexed.clear();
            }
        }
        Verdict { indexed, outcome }
    }
}

/// A value that is there and not `null`.
fn present(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get() != "null")
}

fn string<'a>(value: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, Stop> {
    let Some(value) = present(value) else {
        return Ok(None);
    };
    let text = value.get();
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Ok(Some(Cow::Borrowed(inner))),
        Some(_) => match serde_json::from_str(text) {
            Ok(unescaped) => Ok(Some(Cow::Owned(unescaped))),
            Err(_) => Err(Stop::At(Code::InvalidDataFormat)),
        },
        None => Err(Stop::At(Code::InvalidDataFormat)),
    }
}
