//! Settling which source `auto` means.
//!
//! From what the API root names, and from nothing else: a source that fails is no reason to turn
//! to another. The v1 firehose and v2 streams are separate full copies, so instances that
//! differed would deliver everything twice. Until the root has been read nothing is settled.

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::board::Place;
use super::end::End;
use super::reconnect::{Life, Reconnect};
use super::report::Reports;
use super::stream::StreamName;
use super::{PlanError, Platform, SourceKind};
use crate::causes::chain;

/// Waits for the API root and says what to read from; `None` if it is stopped before.
pub(super) async fn settle(
    platform: Platform,
    places: &[Place],
    stop: &CancellationToken,
) -> Option<SourceKind> {
    let reports = Reports::new(StreamName::Data(0));
    let mut policy = Reconnect::default();
    loop {
        let end = match stop.run_until_cancelled(platform.foundation.root()).await? {
            Ok(root) => {
                let gateway = root.log_stream.is_some();
                let because = match gateway {
                    true => "RLP_ADDRESS is not set, and the API root names a log_stream",
                    false => "RLP_ADDRESS is not set, and the API root names no log_stream",
                };
                let kind =
                    if gateway { SourceKind::Gateway(platform) } else { SourceKind::Firehose(platform) };
                tracing::info!(source = kind.label(), because, "source chosen");
                return Some(kind);
            }
            Err(error) => End::Discovery(chain(&error)),
        };
        let wait = policy.after(Life::Failed, fastrand::f64());
        reports.ended(&end, Life::Failed, wait);
        for place in places {
            place.ended(&end);
            place.waiting(wait);
        }
        stop.run_until_cancelled(sleep(wait)).await?;
    }
}

/// Says that the source carries nothing of what is wanted, and waits to be stopped: what EVENTS
/// names is not going to change.
pub(super) async fn give_up(places: &[Place], error: PlanError, stop: &CancellationToken) {
    let end = End::NothingSelected(error);
    tracing::error!(reason = end.label(), error = %end, next_step = end.next_step(), "nothing to read");
    for place in places {
        place.ended(&end);
    }
    stop.cancelled().await;
}
