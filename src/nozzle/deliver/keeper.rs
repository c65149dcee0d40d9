//! Keeps the disk spool: writes what the pool has too much of, reads it back, settles records, syncs.
//!
//! One task; what blocks is done on a thread beside, one job after another, and nobody waits for it but this task. A disk
//! that fails costs nothing that is in memory: the batches stay in the pool, it is said once, and tried again every
//! [`RETRY_EVERY`]. So is a folder that another process has: when that ends, this one takes over.
//!
//! A job writes what has gathered while the last one was at work. It is made safe from a loss of power once a second
//! ([`SYNC_EVERY`]); a process that is killed loses nothing that was written.

mod account;
mod end;
mod job;
mod status;

#[cfg(test)]
mod tests;

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::job::{Done, Job, Turn};
pub use self::status::SpoolStatus;
use self::status::Trouble;
use super::pool::{Admitted, OnDisk, Pool};
use super::room::BATCH_BYTES;
use super::ticket::Desk;
use crate::clock::UnixNanos;
use crate::hec::spool::{Disk, Folder, FolderError, Spool};
use crate::nozzle::ledger::Ledger;

/// How often a disk that has failed is tried again.
pub const RETRY_EVERY: Duration = Duration::from_secs(5);

/// How long the disk may take for a turn before that is said.
const HANGS_AFTER: Duration = Duration::from_secs(10);

/// What may be lost when the power fails.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How long it sleeps when there is nothing to do by the clock.
const IDLE: Duration = Duration::from_hours(1);

/// Where batches go that memory has no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The folder; its parent exists.
    pub folder: PathBuf,
    /// The most bytes of files in it.
    pub max_bytes: u64,
    /// Whether it is still there when the process, and what it runs in, are gone.
    pub persistent: bool,
}

/// When what ends.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Nothing more comes in: what a later start will find anyway need not be sent now.
    pub shutdown: CancellationToken,
    /// Nothing is delivered any more.
    pub hurry: CancellationToken,
    /// Nobody else is there any more.
    pub finish: CancellationToken,
    /// How long the rest may take then.
    pub finish_time: Duration,
}

impl Ends {
    /// When nothing is read from disk any more.
    fn draining(&self, persistent: bool) -> &CancellationToken {
        if persistent { &self.shutdown } else { &self.hurry }
    }

    /// When even what hangs is not waited for any more.
    fn limit(&self) -> impl Future<Output = ()> + use<> {
        let (finish, time) = (self.finish.clone(), self.finish_time);
        async move {
            finish.cancelled().await;
            sleep(time).await;
        }
    }
}

type Open = Arc<dyn Fn() -> Result<Box<dyn Disk>, FolderError> + Send + Sync>;

/// See the module's documentation.
pub struct Keeper {
    pool: Arc<Pool>,
    desk: Arc<Desk>,
    ledger: Arc<Ledger>,
    settings: SpoolSettings,
    open: Open,
    status: Arc<Mutex<SpoolStatus>>,
    /// `None` until it could be opened, and while a job has it.
    spool: Option<Box<Spool>>,
    /// What the next batch takes; `None` if there is none.
    next_bytes: Option<usize>,
    write: Trouble,
    read: Trouble,
    sync_at: Option<Instant>,
    draining: bool,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Nobody is to wait for what a keeper that has failed would have read.
        self.pool.end_draining();
        self.pool.has_unread(false);
    }
}

impl Keeper {
    pub(super) fn new(
        pool: Arc<Pool>,
        ledger: Arc<Ledger>,
        settings: SpoolSettings,
        status: Arc<Mutex<SpoolStatus>>,
    ) -> Self {
        let folder = settings.folder.clone();
        let open = move || Folder::open(&folder).map(|folder| Box::new(folder) as Box<dyn Disk>);
        Self::on_disk(pool, ledger, settings, status, Arc::new(open))
    }

    /// The same on any disk.
    fn on_disk(
        pool: Arc<Pool>,
        ledger: Arc<Ledger>,
        settings: SpoolSettings,
        status: Arc<Mutex<SpoolStatus>>,
        open: Open,
    ) -> Self {
        pool.has_spool(if settings.persistent { OnDisk::Kept } else { OnDisk::Ephemeral });
        Self {
            desk: Arc::clone(pool.desk()),
            pool,
            ledger,
            settings,
            open,
            status,
            spool: None,
            next_bytes: None,
            write: Trouble::default(),
            read: Trouble::default(),
            sync_at: None,
            draining: true,
        }
    }

    /// Works until `finish`, and settles then what is left.
    pub async fn run(mut self, ends: Ends) {
        let limit = ends.limit();
        tokio::pin!(limit);
        let pool = Arc::clone(&self.pool);
        loop {
            // Registered before looking, so that no room that comes in between is missed.
            let freed = pool.freed();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.draining && ends.draining(self.settings.persistent).is_cancelled() {
                self.end_draining();
            }
            if self.spool.is_none() && self.write.is_due() && !self.reopen(limit.as_mut()).await {
                break;
            }
            let job = self.next_job();
            if !job.is_empty() {
                if !self.carry_out(job, limit.as_mut()).await {
                    break;
                }
                continue;
            }
            if ends.finish.is_cancelled() {
                break;
            }
            tokio::select! {
                biased;
                () = self.desk.wake.notified() => {}
                () = freed, if self.draining && self.next_bytes.is_some() => {}
                () = ends.draining(self.settings.persistent).cancelled(), if self.draining => {}
                () = ends.finish.cancelled() => {}
                () = sleep_until(self.timer()) => {}
            }
        }
        self.finish(limit.as_mut()).await;
    }

    /// When there is something to do without anybody saying so.
    fn timer(&self) -> Instant {
        let sync = self.sync_at.filter(|_| self.write.is_due());
        let known = [sync, self.write.retry_at(), self.read.retry_at()].into_iter().flatten().min();
        known.unwrap_or_else(|| Instant::now() + IDLE)
    }

    /// Opens the spool and counts what is in it. False if there is no time left for that.
    async fn reopen(&mut self, mut limit: Pin<&mut impl Future<Output = ()>>) -> bool {
        let (open, path, max_bytes) =
            (Arc::clone(&self.open), self.settings.folder.clone(), self.settings.max_bytes);
        let opening = spawn_blocking(move || {
            Spool::open(open()?, max_bytes).map_err(|error| FolderError::Io { path, error })
        });
        let Some(opened) = self.at_disk(opening, limit.as_mut()).await else { return false };
        match opened {
            Ok((spool, recovered)) => {
                self.write.opened(&self.settings.folder, &recovered);
                self.ledger.recovered(recovered.tally);
                self.spool = Some(Box::new(spool));
                self.carry_out(Job::default(), limit).await
            }
            Err(error) => {
                self.write.failed_to_open(&self.settings.folder, &error);
                self.status().trouble = self.write.text();
                true
            }
        }
    }

    /// No more is read; what was read in advance goes back.
    fn end_draining(&mut self) {
        self.draining = false;
        for Admitted { batch, place } in self.pool.end_draining() {
            let Some((id, tally)) = place.ticket().map(|ticket| ticket.keep()) else { continue };
            match self.spool.as_mut().is_none_or(|spool| spool.give_back(id, tally)) {
                true => self.ledger.spooled(tally),
                // Its record made room for others meanwhile.
                false => self.pool.leave(batch, place.of(None)),
            }
        }
    }

    /// What there is to do now, as far as the disk seems to be able to.
    fn next_job(&self) -> Job {
        let mut job = Job::default();
        let Some(spool) = &self.spool else { return job };
        job.settled = self.desk.take_settled();
        if self.write.is_due() {
            job.write = self.pool.spill();
            let now = Instant::now();
            let due = self.sync_at.is_some_and(|at| at <= now);
            job.sync = due && spool.is_unsynced();
            // What is to be written shows as well that it can be.
            job.probe = job.write.is_empty() && self.write.text().is_some();
        }
        if self.draining && self.read.is_due() {
            let reserve = |bytes| self.pool.reserve(bytes + BATCH_BYTES);
            job.place = self.next_bytes.and_then(reserve);
            job.look = self.read.text().is_some();
        }
        job
    }

    /// Does it, and tells the pool and the ledger. False if there was no time left for that.
    async fn carry_out(&mut self, job: Job, limit: Pin<&mut impl Future<Output = ()>>) -> bool {
        let Some(spool) = self.spool.take() else { return true };
        let Job { settled, write, place, sync, probe, look: _ } = job;
        let (batches, places): (Vec<_>, Vec<_>) =
            write.into_iter().map(|Admitted { batch, place }| (batch, place)).unzip();
        let is_write = !batches.is_empty() || sync || probe;
        let (read, look) = (place.is_some(), self.read.is_due());
        let turn = Turn { settled, batches, sync, probe, read, look, now_ms: now_ms() };
        match self.at_disk(spawn_blocking(move || Done::of(spool, turn)), limit).await {
            Some(done) => {
                self.account(done, places, place, is_write, look);
                true
            }
            // The thread goes on; nobody can tell how far it will come.
            None => {
                places.into_iter().for_each(|place| self.give_up(&place));
                false
            }
        }
    }

    /// Waits for a thread that is at the disk, but not past `limit`; says so if that takes long.
    fn at_disk<T>(
        &self,
        mut work: JoinHandle<T>,
        mut limit: Pin<&mut impl Future<Output = ()>>,
    ) -> impl Future<Output = Option<T>> {
        // Not the keeper: its disk is for one thread at a time.
        let (folder, status) = (&self.settings.folder, &self.status);
        async move {
            let mut hangs = false;
            loop {
                tokio::select! {
                    biased;
                    done = &mut work => {
                        if hangs {
                            status::answers(folder);
                        }
                        return Some(done.unwrap_or_else(|error| resume_unwind(error.into_panic())));
                    }
                    () = limit.as_mut() => return None,
                    () = sleep(HANGS_AFTER), if !hangs => {
                        hangs = true;
                        lock(status).trouble = Some(status::hangs(folder));
                    }
                }
            }
        }
    }

    fn status(&self) -> MutexGuard<'_, SpoolStatus> {
        lock(&self.status)
    }
}

fn lock(status: &Mutex<SpoolStatus>) -> MutexGuard<'_, SpoolStatus> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> u64 {
    u64::try_from(UnixNanos::now().0 / 1_000_000).unwrap_or(0)
}
