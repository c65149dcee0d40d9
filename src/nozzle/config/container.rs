//! What Cloud Foundry tells an app about the container it runs in.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The container of an app. There is none on a virtual machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// How much its disk may hold.
    pub(super) disk_bytes: Option<u64>,
    /// Which of the app's instances this is.
    pub(super) instance: Option<u64>,
    /// Where volumes are mounted that outlive it.
    volumes: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Application {
    limits: Limits,
    instance_index: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Limits {
    /// MiB.
    disk: Option<u64>,
}

impl Container {
    /// Reads VCAP_APPLICATION and VCAP_SERVICES. What is not understood of them is not told: it is the platform's.
    pub(super) fn read(application: &str, services: &str) -> Self {
        let application: Application = serde_json::from_str(application).unwrap_or_default();
        let services: Map<String, Value> = serde_json::from_str(services).unwrap_or_default();
        let instances = services.values().filter_map(Value::as_array).flatten();
        let mounts = instances.filter_map(|instance| instance.get("volume_mounts")?.as_array()).flatten();
        Self {
            disk_bytes: application.limits.disk.map(|mebibytes| mebibytes.saturating_mul(1 << 20)),
            instance: application.instance_index,
            volumes: mounts
                .filter_map(|mount| mount.get("container_dir")?.as_str())
                .map(PathBuf::from)
                .collect(),
        }
    }

    /// Whether what is in the folder outlives the container.
    pub(super) fn outlived_by(&self, folder: &Path) -> bool {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        self.volumes.iter().any(|volume| folder.starts_with(volume))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_says_how_much_disk_there_is_and_what_of_it_stays() {
        let application =
            r#"{"limits":{"mem":512,"disk":1024,"fds":16384},"instance_index":2,"name":"nozzle"}"#;
        let services = r#"{"nfs":[{"name":"a","volume_mounts":[{"container_dir":"/nonexistent/data","mode":"rw"}]}],
            "user-provided":[{"credentials":{}}]}"#;
        let container = Container::read(application, services);
        assert_eq!((container.disk_bytes, container.instance), (Some(1 << 30), Some(2)));
        for (folder, outlived) in [
            ("/nonexistent/data", true),
            ("/nonexistent/data/spool", true),
            ("/nonexistent/database", false),
            ("/home/vcap/app", false),
        ] {
            assert_eq!(container.outlived_by(Path::new(folder)), outlived, "{folder}");
        }
        for (application, services) in [("", ""), ("{", "["), ("[]", "{\"a\":[{\"volume_mounts\":3}]}")] {
            assert_eq!(Container::read(application, services), Container::default(), "{application}");
        }
    }
}
