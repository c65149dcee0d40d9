//! How whoever holds a batch learns of its fate: once, wherever that is found out.

use std::sync::{Arc, Mutex, PoisonError};

/// What became of a batch that HEC has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// An indexer has it, or none can be asked.
    Delivered,
    /// It is no longer waited for, and was not found lost.
    Unconfirmed,
    /// It has to be sent again.
    Lost,
}

type Then = Box<dyn FnOnce(Fate) + Send>;

enum State {
    Open,
    Known(Fate),
    Awaited(Then),
    Done,
}

struct Shared(Mutex<State>);

impl Shared {
    fn swap(&self, change: impl FnOnce(State) -> State) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *state, State::Done);
        *state = change(before);
    }
}

/// The end that knows. Dropped without a word it says that the batch is lost, which loses nothing.
pub(crate) struct Promise(Arc<Shared>);

/// The end that waits. Dropped, nobody is told.
pub(crate) struct Receipt(Arc<Shared>);

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}

impl std::fmt::Debug for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Promise")
    }
}

/// Both ends.
pub(crate) fn pair() -> (Promise, Receipt) {
    let shared = Arc::new(Shared(Mutex::new(State::Open)));
    (Promise(Arc::clone(&shared)), Receipt(shared))
}

impl Promise {
    /// Tells the other end; not to be called with a lock held that it may want.
    pub(crate) fn settle(self, fate: Fate) {
        self.tell(fate);
    }

    fn tell(&self, fate: Fate) {
        let mut then = None;
        self.0.swap(|state| match state {
            State::Open => State::Known(fate),
            State::Awaited(waiting) => {
                then = Some(waiting);
                State::Done
            }
            State::Known(_) | State::Done => state,
        });
        if let Some(then) = then {
            then(fate);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.tell(Fate::Lost);
    }
}

impl Receipt {
    /// Calls this with the fate, now or when it is known.
    pub(crate) fn then(self, then: impl FnOnce(Fate) + Send + 'static) {
        let mut known = None;
        let mut then: Option<Then> = Some(Box::new(then));
        self.0.swap(|state| match (state, then.take()) {
            (State::Open, Some(then)) => State::Awaited(then),
            (State::Known(fate), waiting) => {
                known = Some((waiting, fate));
                State::Done
            }
            (state, _) => state,
        });
        if let Some((Some(then), fate)) = known {
            then(fate);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_fate_is_told_once_whoever_comes_first() {
        for early in [true, false] {
            let (promise, receipt) = pair();
            let (told, heard) = mpsc::sync_channel(4);
            if early {
                promise.settle(Fate::Delivered);
                receipt.then(move |fate| told.send(fate).unwrap());
            } else {
                receipt.then(move |fate| told.send(fate).unwrap());
                promise.settle(Fate::Delivered);
            }
            assert_eq!(heard.iter().collect::<Vec<_>>(), [Fate::Delivered]);
        }
    }

    #[test]
    fn who_forgets_a_promise_has_lost_the_batch() {
        let (promise, receipt) = pair();
        let (told, heard) = mpsc::sync_channel(4);
        receipt.then(move |fate| told.send(fate).unwrap());
        drop(promise);
        assert_eq!(heard.iter().collect::<Vec<_>>(), [Fate::Lost]);
    }
}
