//! What a process needs around its work: a runtime, and signals.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::task::Tasks;

/// A second signal: 128 and the number of SIGTERM, as a shell would report it.
const EXIT_FORCED: i32 = 143;

/// The first SIGTERM or SIGINT asks for an orderly end, the second ends at once.
///
/// From the return of this function on: a signal before that ends the process as it does by default.
/// Needs a runtime around it.
pub fn watch_signals(shutdown: &CancellationToken) -> Tasks<()> {
    let mut tasks = Tasks::new();
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => {
            tasks.spawn("signals", heed_signals(terminate, interrupt, shutdown.clone()));
        }
        _ => {
            tracing::warn!("signals cannot be watched: the process ends without draining when it is told to")
        }
    }
    tasks
}

async fn heed_signals(mut terminate: Signal, mut interrupt: Signal, shutdown: CancellationToken) {
    for count in 0.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if count > 0 {
            tracing::error!("a second signal: ending at once, what is buffered is lost");
            std::process::exit(EXIT_FORCED);
        }
        shutdown.cancel();
    }
}

/// Runs a future to its end on a runtime of its own; `None` if there can be none.
pub fn on_runtime<T>(thread_name: &str, future: impl Future<Output = T>) -> Option<T> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(thread_name).build();
    let runtime = built.inspect_err(|error| tracing::error!(%error, "the runtime cannot be started")).ok()?;
    let result = runtime.block_on(future);
    // A look-up of a name may hang for many seconds; the end does not wait for it.
    runtime.shutdown_background();
    Some(result)
}
