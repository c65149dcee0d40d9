//! The reading of a stream, from its opening to its end, over all its renewals.

use std::future::pending;
use std::pin::pin;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::end::End;
use super::group::{Fill, Group};
use super::idle::{IdleTimer, Patience};
use super::renewal::Retiring;
use super::session::Session;
use super::stream::Stream;

/// Groups that are still taken, if they are there already, when a stream is left: the platform
/// has handed them over and will not send them again.
const LAST_GROUPS_MAX: usize = 8;

/// Moves frames of one open stream to where they go.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    stream: &'a Stream,
    patience: Option<Patience>,
    idle: IdleTimer,
    session: Session,
    /// The one before, until it has ended.
    retiring: Option<Retiring>,
    data: bool,
}

/// What the reading came upon.
enum Step {
    /// The stream has given a sign of life, maybe with frames.
    Life(Group, Fill),
    /// The one before it has.
    Old(Group),
    /// The one before it is over.
    OldEnded(End),
    /// There is a new stream to take its place.
    Successor(Session),
}

impl<'a> Reading<'a> {
    pub(super) fn new(stream: &'a Stream, session: Session, patience: Option<Patience>) -> Self {
        let idle = IdleTimer::start(patience, stream.elsewhere.as_ref());
        Self { stream, patience, idle, session, retiring: None, data: false }
    }

    /// Whether it brought something all the time, until it fell silent if it did.
    pub(super) fn was_busy(&self) -> bool {
        self.idle.is_busy()
    }

    /// Whether there was anything to deliver.
    pub(super) fn brought_data(&self) -> bool {
        self.data
    }

    /// Reads until the stream ends before it has a successor.
    pub(super) async fn until_end(&mut self) -> End {
        let end = loop {
            match self.until_successor().await {
                Ok(session) => self.renew(session),
                Err(end) => break end,
            }
        };
        if matches!(end, End::Stopped) {
            self.data |= take_ready(self.stream, &mut self.session);
        }
        if let Some(mut retiring) = self.retiring.take() {
            self.data |= take_ready(self.stream, &mut retiring.session);
        }
        end
    }

    async fn until_successor(&mut self) -> Result<Session, End> {
        let stream = self.stream;
        let mut stopped = pin!(stream.stop.cancelled());
        let mut successor = pin!(stream.successor(Instant::now()));
        loop {
            let Self { session, retiring, idle, .. } = self;
            let alone = retiring.is_none();
            // Reading comes after what is rarely ready: it may always be.
            let step = tokio::select! {
                biased;
                () = stopped.as_mut() => return Err(End::Stopped),
                session = successor.as_mut(), if alone => Step::Successor(session),
                step = read(session, retiring.as_mut()) => step?,
                quiet = idle.expired() => return Err(End::Idle(quiet)),
            };
            match step {
                Step::Life(group, fill) => {
                    self.idle.alive();
                    self.data |= stream.push(group);
                    // More may be ready for ever, and the workers wait for this very thread: where they cannot keep up
                    // the platform had better keep its frames for a moment than the queue overflow.
                    if fill == Fill::Full {
                        tokio::task::yield_now().await;
                    }
                }
                Step::Old(group) => self.data |= stream.push(group),
                Step::OldEnded(end) => self.retire(&end),
                Step::Successor(session) => return Ok(session),
            }
        }
    }

    fn renew(&mut self, session: Session) {
        self.stream.renewed(&session);
        self.idle = IdleTimer::start(self.patience, self.stream.elsewhere.as_ref());
        let old = std::mem::replace(&mut self.session, session);
        self.retiring = self.stream.renewer.as_ref().map(|renewer| renewer.retire(old));
    }

    fn retire(&mut self, end: &End) {
        tracing::debug!(stream = self.stream.name.index(), %end, "the stream that was renewed is over");
        let retired = self.retiring.take();
        // One that outstays its time is left by us, with what has arrived.
        if let (Some(mut retired), End::Renewed) = (retired, end) {
            self.data |= take_ready(self.stream, &mut retired.session);
        }
    }

    /// Takes leave; frames that still come are taken.
    pub(super) async fn close(self) {
        let stream = self.stream;
        self.session.close(|late| _ = stream.push(late)).await;
    }
}

/// Reads from both streams, in no order: either may always be ready. Cancel safe.
async fn read(session: &mut Session, retiring: Option<&mut Retiring>) -> Result<Step, End> {
    let (mut group, mut old) = (Group::default(), Group::default());
    let read_old = async {
        match retiring {
            Some(retiring) => retiring.read(&mut old).await,
            None => pending().await,
        }
    };
    tokio::select! {
        read = session.read(&mut group) => read.map(|fill| Step::Life(group, fill)),
        read = read_old => Ok(match read {
            Ok(()) => Step::Old(old),
            Err(end) => Step::OldEnded(end),
        }),
    }
}

/// Takes what has arrived already, without waiting; true if there was anything.
fn take_ready(stream: &Stream, session: &mut Session) -> bool {
    let mut data = false;
    for _ in 0..LAST_GROUPS_MAX {
        let mut group = Group::default();
        let read = session.read(&mut group).now_or_never();
        data |= stream.push(group);
        if !matches!(read, Some(Ok(Fill::Full))) {
            break;
        }
    }
    data
}
