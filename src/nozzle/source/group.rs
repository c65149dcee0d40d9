//! Takes many frames per wake-up.
//!
//! Waking a task and handing one frame to another costs more than decoding it. So once one frame
//! is there, all others that are ready are taken with it, up to a bound.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::end::End;

/// How much one group may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupLimits {
    /// Frames.
    pub(super) frames: usize,
    /// Bytes; the frame that reaches it still belongs to the group.
    pub(super) bytes: usize,
}

/// What was ready at one moment of one stream.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Frames for the queue.
    pub(super) frames: Vec<Bytes>,
    /// Frames that cannot be used and are not there any more.
    pub(super) malformed: u64,
}

/// One thing a stream brings.
#[derive(Debug)]
pub(super) enum Unit {
    /// A frame for the queue.
    Frame(Bytes),
    /// A frame that cannot be used and was skipped.
    Malformed,
    /// A sign of life without content, such as a ping.
    Life,
}

/// What a group came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Nothing more is ready.
    Drained,
    /// A limit was reached: more may be ready.
    Full,
}

/// Gathers groups from a source of units.
#[derive(Debug)]
pub(super) struct Gatherer {
    limits: GroupLimits,
    /// The end that came after frames; given out when they have been taken.
    end: Option<End>,
}

impl Gatherer {
    pub(super) fn new(limits: GroupLimits) -> Self {
        Self { limits, end: None }
    }

    /// Waits for one unit, then adds every frame that is ready to `group`.
    ///
    /// An empty group is a sign of life. Nothing is lost when polling stops: units are taken
    /// only in the poll that hands them out.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        group: &mut Group,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<Result<Unit, End>>,
    ) -> Poll<Result<Fill, End>> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(Err(end));
        }
        let mut taken = 0;
        let mut bytes = 0;
        while taken < self.limits.frames && bytes < self.limits.bytes {
            match next(cx) {
                Poll::Ready(Ok(Unit::Frame(frame))) => {
                    bytes += frame.len();
                    group.frames.push(frame);
                }
                Poll::Ready(Ok(Unit::Malformed)) => group.malformed += 1,
                Poll::Ready(Ok(Unit::Life)) => {}
                Poll::Ready(Err(end)) if taken == 0 => return Poll::Ready(Err(end)),
                Poll::Ready(Err(end)) => {
                    self.end = Some(end);
                    return Poll::Ready(Ok(Fill::Full));
                }
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(Fill::Drained)),
            }
            taken += 1;
        }
        Poll::Ready(Ok(Fill::Full))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;

    #[derive(Debug)]
    enum Step {
        Frame(usize),
        Ping,
        Damage,
        Wait,
        End,
    }

    /// The sizes of a group's frames, how many were malformed, and how it was filled.
    type Taken = (Vec<usize>, u64, Fill);

    /// Polls until the end.
    fn groups(steps: impl IntoIterator<Item = Step>) -> Vec<Taken> {
        let mut steps: VecDeque<Step> = steps.into_iter().collect();
        let mut gatherer = Gatherer::new(GroupLimits { frames: 4, bytes: 100 });
        let mut cx = Context::from_waker(Waker::noop());
        let mut groups = Vec::new();
        loop {
            let mut group = Group::default();
            let polled = gatherer.poll(&mut cx, &mut group, |_| match steps.pop_front() {
                Some(Step::Frame(len)) => Poll::Ready(Ok(Unit::Frame(vec![0; len].into()))),
                Some(Step::Ping) => Poll::Ready(Ok(Unit::Life)),
                Some(Step::Damage) => Poll::Ready(Ok(Unit::Malformed)),
                Some(Step::Wait) => Poll::Pending,
                Some(Step::End) | None => Poll::Ready(Err(End::Completed)),
            });
            match polled {
                Poll::Pending => {
                    let nothing = group.frames.is_empty() && group.malformed == 0;
                    assert!(nothing, "nothing may be taken by a poll that waits");
                }
                Poll::Ready(Ok(fill)) => {
                    groups.push((group.frames.iter().map(Bytes::len).collect(), group.malformed, fill));
                }
                Poll::Ready(Err(_)) => return groups,
            }
        }
    }

    #[test]
    fn what_is_ready_goes_together_up_to_the_limits() {
        use Fill::{Drained, Full};
        use Step::{Damage, Frame, Ping, Wait};
        let cases: Vec<(Vec<Step>, Vec<Taken>)> = vec![
            (
                vec![Frame(1), Frame(2), Wait, Frame(3), Wait],
                vec![(vec![1, 2], 0, Drained), (vec![3], 0, Drained)],
            ),
            ((0..6).map(|_| Frame(1)).collect(), vec![(vec![1; 4], 0, Full), (vec![1, 1], 0, Full)]),
            (
                vec![Frame(60), Frame(60), Frame(1), Wait],
                vec![(vec![60, 60], 0, Full), (vec![1], 0, Drained)],
            ),
            (vec![Ping, Wait], vec![(vec![], 0, Drained)]),
            (vec![Wait, Wait, Frame(5), Ping, Frame(6)], vec![(vec![5, 6], 0, Full)]),
            (
                vec![Frame(5), Damage, Frame(6), Wait, Damage, Wait],
                vec![(vec![5, 6], 1, Drained), (vec![], 1, Drained)],
            ),
            (vec![Frame(5), Step::End], vec![(vec![5], 0, Full)]),
            (vec![Step::End], vec![]),
        ];
        for (steps, expected) in cases {
            let shown = format!("{steps:?}");
            assert_eq!(groups(steps), expected, "{shown}");
        }
    }
}
