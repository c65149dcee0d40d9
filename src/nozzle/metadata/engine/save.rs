//! Writes what is new to the file of the app cache, off the way of events.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Engine;

/// Apps written in one transaction.
const TRANSACTION_APPS_MAX: usize = 2000;

impl Engine {
    /// Saves at a fixed pace, for ever.
    pub(super) async fn save_regularly(&self) {
        if self.store.is_none() {
            return std::future::pending().await;
        }
        loop {
            sleep(self.timing.save).await;
            self.save().await;
        }
    }

    /// Saves all that is new, unless it cannot be saved.
    pub(in super::super) async fn save(&self) {
        let Some(store) = &self.store else { return };
        loop {
            let apps = self.shared.table.take_unsaved(TRANSACTION_APPS_MAX);
            if apps.is_empty() {
                return;
            }
            let store = Arc::clone(store);
            let written = spawn_blocking(move || {
                let result = store.write(&apps);
                (apps, result)
            });
            let Ok((apps, result)) = written.await else {
                self.log.save(&"writing it has failed in an unexpected way");
                return;
            };
            let mut file = self.shared.file();
            match result {
                Ok(()) => file.written += apps.len() as u64,
                Err(error) => {
                    file.failures += 1;
                    drop(file);
                    self.log.save(&error);
                    self.shared.table.not_saved(apps.into_iter().map(|(id, _)| id));
                    return;
                }
            }
        }
    }
}
