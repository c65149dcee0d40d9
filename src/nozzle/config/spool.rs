//! Where batches go that memory has no room for.

use super::parse;
use super::reader::Reader;
use super::settings::output::{DEBUG, SPOOL_DIR, SPOOL_MAX_BYTES};
use crate::nozzle::deliver::SpoolSettings;

/// The most by default.
const DEFAULT_BYTES_MAX: u64 = 1 << 30;

/// The part of a container's disk by default; the app itself is on it as well.
const DEFAULT_DISK_PART: u64 = 2;

/// `Some(None)`: there is no spool.
pub(super) fn read(reader: &mut Reader, debug: bool) -> Option<Option<SpoolSettings>> {
    let folder = reader.optional(&SPOOL_DIR, parse::folder);
    let max_bytes = reader.optional(&SPOOL_MAX_BYTES, parse::bytes);
    let (folder, max_bytes) = (folder?, max_bytes?);
    let container = reader.container().cloned();
    let disk_bytes = container.as_ref().and_then(|container| container.disk_bytes);
    let by_default =
        disk_bytes.map_or(DEFAULT_BYTES_MAX, |bytes| DEFAULT_BYTES_MAX.min(bytes / DEFAULT_DISK_PART));
    let max_bytes = max_bytes.map_or(by_default, |bytes| bytes as u64);
    let Some(folder) = folder else {
        if reader.is_given(&SPOOL_MAX_BYTES) {
            reader.warn(&SPOOL_MAX_BYTES, "has no effect without SPOOL_DIR");
        }
        return Some(None);
    };
    reader.applies(&SPOOL_MAX_BYTES, max_bytes.to_string());
    if debug {
        reader.warn(&SPOOL_DIR, format!("has no effect with {}", DEBUG.name));
        return Some(None);
    }
    let persistent = container.as_ref().is_none_or(|container| container.outlived_by(&folder));
    if !persistent {
        reader.warn(
            &SPOOL_DIR,
            "is on the container's own disk: it bridges outages, but what is in it when the container ends is lost, and \
             counted; bind a volume service and put it there to keep that",
        );
    }
    // Instances of an app share its volumes, and each needs a folder of its own.
    let instance = container.and_then(|container| container.instance);
    let folder = instance.map_or(folder.clone(), |instance| folder.join(format!("instance-{instance}")));
    Some(Some(SpoolSettings { folder, max_bytes, persistent }))
}
