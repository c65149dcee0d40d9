//! HTTP requests, whole or in two halves.

use super::{Uuid, read};
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::reader::Reader;

/// A request and its answer. The zero value is what a missing payload reads as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStartStop<'a> {
    /// Nanoseconds since the Unix epoch.
    pub start: i64,
    /// Nanoseconds since the Unix epoch.
    pub stop: i64,
    /// The request's id.
    pub request_id: Option<Uuid>,
    /// 1 Client, 2 Server.
    pub peer_type: i32,
    /// See `method_name` in the encoder.
    pub method: i32,
    /// The URI.
    pub uri: &'a [u8],
    /// The caller's address.
    pub remote_address: &'a [u8],
    /// The caller's User-Agent.
    pub user_agent: &'a [u8],
    /// The reply's status.
    pub status_code: i32,
    /// The reply's size in bytes; -1 if unknown.
    pub content_length: i64,
    /// The app's id.
    pub app_id: Option<Uuid>,
    /// The app instance's index.
    pub instance_index: i32,
    /// The app instance's id.
    pub instance_id: &'a [u8],
    /// The payload, for a second pass over its `forwarded` addresses.
    pub bytes: &'a [u8],
}

/// Field number of `forwarded` in [`HttpStartStop`].
const FORWARDED: u32 = 15;

impl<'a> HttpStartStop<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut http = Self { bytes, ..Self::default() };
        read(bytes, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], |number, value| {
            match number {
                1 => http.start = value.int64()?,
                2 => http.stop = value.int64()?,
                3 => http.request_id = Some(Uuid::parse(value.bytes()?)?),
                4 => http.peer_type = value.int32()?,
                5 => http.method = value.int32()?,
                6 => http.uri = value.bytes()?,
                7 => http.remote_address = value.bytes()?,
                8 => http.user_agent = value.bytes()?,
                9 => http.status_code = value.int32()?,
                10 => http.content_length = value.int64()?,
                12 => http.app_id = Some(Uuid::parse(value.bytes()?)?),
                13 => http.instance_index = value.int32()?,
                14 => http.instance_id = value.bytes()?,
                FORWARDED => drop(value.bytes()?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(http)
    }
}

/// The X-Forwarded-For addresses of a request that was read from this payload, in order.
pub fn forwarded(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(payload);
    // The payload was read whole before, so there is nothing malformed to stop at.
    std::iter::from_fn(move || reader.next_field().ok().flatten())
        .filter(|(number, _)| *number == FORWARDED)
        .filter_map(|(_, value)| value.bytes().ok())
}

/// A request that came in (retired).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStart<'a> {
    /// Nanoseconds since the Unix epoch.
    pub timestamp: i64,
    /// The request's id.
    pub request_id: Option<Uuid>,
    /// The method.
    pub method: i32,
    /// The URI.
    pub uri: &'a [u8],
    /// The caller's address.
    pub remote_address: &'a [u8],
    /// The caller's User-Agent.
    pub user_agent: &'a [u8],
    /// The id of the request this one belongs to.
    pub parent_request_id: Option<Uuid>,
    /// The app's id.
    pub app_id: Option<Uuid>,
    /// The app instance's index.
    pub instance_index: i32,
    /// The app instance's id.
    pub instance_id: &'a [u8],
}

impl<'a> HttpStart<'a> {
    /// Reads the start of a request.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut http = Self::default();
        read(bytes, &[1, 2, 3, 4, 5, 6, 7], |number, value| {
            match number {
                1 => http.timestamp = value.int64()?,
                2 => http.request_id = Some(Uuid::parse(value.bytes()?)?),
                3 => drop(value.int32()?),
                4 => http.method = value.int32()?,
                5 => http.uri = value.bytes()?,
                6 => http.remote_address = value.bytes()?,
                7 => http.user_agent = value.bytes()?,
                8 => http.parent_request_id = Some(Uuid::parse(value.bytes()?)?),
                9 => http.app_id = Some(Uuid::parse(value.bytes()?)?),
                10 => http.instance_index = value.int32()?,
                11 => http.instance_id = value.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(http)
    }
}

/// A request that was answered (retired).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStop<'a> {
    /// Nanoseconds since the Unix epoch.
    pub timestamp: i64,
    /// The URI.
    pub uri: &'a [u8],
    /// The request's id.
    pub request_id: Option<Uuid>,
    /// 1 Client, 2 Server.
    pub peer_type: i32,
    /// The reply's status.
    pub status_code: i32,
    /// The reply's size in bytes; -1 if unknown.
    pub content_length: i64,
    /// The app's id.
    pub app_id: Option<Uuid>,
}

impl<'a> HttpStop<'a> {
    /// Reads the end of a request.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut http = Self::default();
        read(bytes, &[1, 2, 3, 4, 5, 6], |number, value| {
            match number {
                1 => http.timestamp = value.int64()?,
                2 => http.uri = value.bytes()?,
                3 => http.request_id = Some(Uuid::parse(value.bytes()?)?),
                4 => http.peer_type = value.int32()?,
                5 => http.status_code = value.int32()?,
                6 => http.content_length = value.int64()?,
                7 => http.app_id = Some(Uuid::parse(value.bytes()?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(http)
    }
}
