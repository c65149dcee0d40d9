//! Events of v1 envelopes: field by field, as they are.

use crate::nozzle::event::{
    AllTags, AppId, Body, Container, Event, Forwarded, Head, HttpStartStop, Id, Symbol, TagList, uuid,
};
use crate::nozzle::event_type::EventType;
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::tags::KeySet;
use crate::nozzle::wire::v1;

impl<'a> Event<'a> {
    /// The event of a v1 envelope.
    ///
    /// # Errors
    /// What is wrong with the payload. A missing payload reads as its zero values.
    // Always inlined: an event does not fit into registers, and would be copied on its way out.
    #[inline(always)]
    pub fn from_v1(envelope: &'a v1::Envelope<'a>) -> Result<Self, Malformed> {
        let (body, app, timestamp) = body(envelope)?;
        Ok(Self {
            event_type: envelope.event_type,
            timestamp,
            head: Head {
                origin: envelope.origin,
                deployment: envelope.deployment,
                job: envelope.job,
                index: envelope.index,
                ip: envelope.ip,
            },
            app,
            tags: &envelope.tags,
            all_tags: TagList {
                all: AllTags::Protobuf { envelope: envelope.bytes, field: v1::TAGS },
                hidden: KeySet::default(),
                source_id: &[],
                instance_id: &[],
            },
            body,
        })
    }
}

type Parts<'a> = (Body<'a>, AppId<'a>, Option<i64>);

#[inline(always)]
fn body<'a>(envelope: &v1::Envelope<'a>) -> Result<Parts<'a>, Malformed> {
    let payload = envelope.payload;
    let time = envelope.timestamp;
    Ok(match envelope.event_type {
        EventType::LogMessage => log(payload.map(v1::LogMessage::parse).transpose()?),
        EventType::HttpStartStop => http_start_stop(payload.map(v1::HttpStartStop::parse).transpose()?, time),
        EventType::HttpStart => {
            let missing = v1::HttpStart { method: 1, ..v1::HttpStart::default() };
            let http = payload.map(v1::HttpStart::parse).transpose()?.unwrap_or(missing);
            (Body::HttpStart(http), app_uuid(http.app_id), Some(http.timestamp))
        }
        EventType::HttpStop => {
            let missing = v1::HttpStop { peer_type: 1, ..v1::HttpStop::default() };
            let http = payload.map(v1::HttpStop::parse).transpose()?.unwrap_or(missing);
            (Body::HttpStop(http), app_uuid(http.app_id), Some(http.timestamp))
        }
        EventType::CounterEvent => {
            let counter = payload.map(v1::CounterEvent::parse).transpose()?.unwrap_or_default();
            let body = Body::Counter { name: counter.name, delta: counter.delta, total: counter.total };
            (body, AppId::None, time)
        }
        EventType::Error => {
            let error = payload.map(v1::Error::parse).transpose()?.unwrap_or_default();
            let body = Body::Error { source: error.source, code: error.code, message: error.message };
            (body, AppId::None, time)
        }
        EventType::ContainerMetric => container(payload.map(v1::ContainerMetric::parse).transpose()?, time),
        // Event and Timer have no number in v1, so the reader never gives them.
        EventType::ValueMetric | EventType::Event | EventType::Timer => {
            let metric = payload.map(v1::ValueMetric::parse).transpose()?.unwrap_or_default();
            (Body::Value { name: metric.name, unit: metric.unit, value: metric.value }, AppId::None, time)
        }
    })
}

#[inline(always)]
fn log(log: Option<v1::LogMessage<'_>>) -> Parts<'_> {
    // The first value of an enumeration is what an absent one reads as.
    let log = log.unwrap_or(v1::LogMessage { message_type: 1, ..v1::LogMessage::default() });
    let body = Body::Log {
        payload: log.message,
        message_type: log.message_type,
        timestamp: log.timestamp,
        source_type: log.source_type,
        source_instance: log.source_instance,
    };
    (body, AppId::Text(log.app_id), Some(log.timestamp))
}

fn http_start_stop(http: Option<v1::HttpStartStop<'_>>, time: Option<i64>) -> Parts<'_> {
    let http = http.unwrap_or(v1::HttpStartStop { peer_type: 1, method: 1, ..v1::HttpStartStop::default() });
    let body = Body::HttpStartStop(HttpStartStop {
        start: http.start,
        stop: http.stop,
        request_id: http.request_id.map_or(Id::Text(&[]), |id| Id::Uuid(uuid::format(id.bytes()))),
        peer_type: Symbol::Number(http.peer_type),
        method: Symbol::Number(http.method),
        uri: http.uri,
        remote_address: http.remote_address,
        user_agent: http.user_agent,
        status_code: http.status_code,
        content_length: http.content_length,
        instance_index: http.instance_index,
        instance_id: http.instance_id,
        forwarded: Forwarded::Fields(http.bytes),
    });
    (body, app_uuid(http.app_id), time)
}

fn container(container: Option<v1::ContainerMetric<'_>>, time: Option<i64>) -> Parts<'_> {
    let metric = container.unwrap_or_default();
    let body = Body::Container(Container {
        instance_index: metric.instance_index,
        cpu_percentage: metric.cpu_percentage,
        memory_bytes: metric.memory_bytes,
        disk_bytes: metric.disk_bytes,
        memory_bytes_quota: metric.memory_bytes_quota,
        disk_bytes_quota: metric.disk_bytes_quota,
    });
    (body, AppId::Text(metric.app_id), time)
}

fn app_uuid(id: Option<v1::Uuid>) -> AppId<'static> {
    id.map_or(AppId::Text(&[]), |id| AppId::Uuid(uuid::format(id.bytes())))
}
