//! Reads replies: an answer, or why it is none.

use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;
use url::Url;

use super::CallError;
use super::answers::Errors;
use crate::nozzle::cf::http::{Reply, shown};

/// A longer body takes more than a fraction of a millisecond to read.
const BODY_BYTES_AT_ONCE: usize = 64 * 1024;
/// Cloud Controller's error code for "no such resource".
const RESOURCE_NOT_FOUND: i64 = 10010;

/// Reads a reply; a long one beside the threads that carry events.
pub(super) async fn read_aside<T>(url: &Url, reply: Reply) -> Result<T, CallError>
where
    T: DeserializeOwned + Send + 'static,
{
    if reply.body.len() < BODY_BYTES_AT_ONCE {
        return read(url, &reply);
    }
    let (url, status) = (url.clone(), reply.status.as_u16());
    let failed = CallError::Failed { url: shown(&url), status };
    spawn_blocking(move || read(&url, &reply)).await.unwrap_or(Err(failed))
}

fn read<T: DeserializeOwned>(url: &Url, reply: &Reply) -> Result<T, CallError> {
    let (shown, status) = (shown(url), reply.status.as_u16());
    let failed = |url| CallError::Failed { url, status };
    match status {
        200 => serde_json::from_slice(&reply.body).map_err(|_| failed(shown)),
        401 | 429 => Err(failed(shown)),
        400..500 => {
            let errors: Errors = serde_json::from_slice(&reply.body).unwrap_or_default();
            // A 404 without the code comes from a router or proxy: the API is away, not the app.
            match (status, errors.has(RESOURCE_NOT_FOUND)) {
                (404, true) => Err(CallError::NotFound { url: shown }),
                (404, false) => Err(failed(shown)),
                _ => Err(CallError::Refused { url: shown, status, reason: errors.reason() }),
            }
        }
        _ => Err(failed(shown)),
    }
}
