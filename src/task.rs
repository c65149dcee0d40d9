//! Owned tasks: nothing runs that nobody waits for.

use std::future::Future;

use tokio::task::{JoinError, JoinSet};

/// A group of named tasks that end with, or before, their owner.
///
/// Dropping the group aborts what still runs in it. A panic in a task comes back
/// from [`Tasks::join_next`] as an error; it is never swallowed.
#[derive(Debug, Default)]
pub struct Tasks<T: 'static> {
    set: JoinSet<(&'static str, T)>,
}

impl<T: Send + 'static> Tasks<T> {
    /// An empty group.
    pub fn new() -> Self {
        Self { set: JoinSet::new() }
    }

    /// Starts a task; `name` says what it is in errors and logs.
    pub fn spawn<F>(&mut self, name: &'static str, future: F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.set.spawn(async move { (name, future.await) });
    }

    /// Waits for the next task to end; `None` when none is left.
    ///
    /// Cancel safe.
    pub async fn join_next(&mut self) -> Option<Result<(&'static str, T), JoinError>> {
        self.set.join_next().await
    }

    /// How many tasks have not been joined yet.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether no task is left.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Aborts every task and waits until they are gone.
    pub async fn shutdown(&mut self) {
        self.set.shutdown().await;
    }
}
