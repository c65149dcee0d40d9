//! Which site events go to: the first, unless it has been away for a while and the second is not.
//!
//! Pure. A pause of a moment is not worth sending events to the other site, where nobody may look
//! for them; so the first has to be away for some seconds. It is preferred again the moment one of
//! its endpoints takes events.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// How long the first site takes no events before the second gets them.
pub(crate) const FAILOVER_AFTER: Duration = Duration::from_secs(5);

/// One of the places that events can go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Site {
    /// Where events belong.
    Primary,
    /// Where they go meanwhile.
    Failover,
}

impl Site {
    /// As in logs, the status and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Failover => "failover",
        }
    }
}

/// What a look at the sites says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// Where events go.
    pub(crate) active: Site,
    /// Whether that has just changed.
    pub(crate) changed: bool,
    /// When to look again, if nothing happens until then.
    pub(crate) again: Option<Instant>,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    after: Duration,
    away_since: Option<Instant>,
    active: Site,
}

impl Failover {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, away_since: None, active: Site::Primary }
    }

    /// Where events go, by whether the sites have an endpoint that takes them.
    pub(crate) fn look(&mut self, primary: bool, failover: bool, now: Instant) -> View {
        let before = self.active;
        let mut again = None;
        if primary {
            self.away_since = None;
            self.active = Site::Primary;
        } else {
            let since = *self.away_since.get_or_insert(now);
            if now < since + self.after {
                again = Some(since + self.after);
            } else if failover {
                self.active = Site::Failover;
            }
        }
        View { active: self.active, changed: self.active != before, again }
    }

    /// How long the first site has taken no events.
    pub(crate) fn away(&self, now: Instant) -> Duration {
        self.away_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_site_is_used_while_the_first_is_away_and_not_for_a_blink() {
        let start = Instant::now();
        let mut failover = Failover::new(Duration::from_secs(5));
        // Second, first open, second open, where events go then.
        let steps = [
            (0, true, true, Site::Primary),
            (10, false, true, Site::Primary),
            (14, false, true, Site::Primary),
            (15, true, true, Site::Primary),
            (20, false, true, Site::Primary),
            (24, false, true, Site::Primary),
            (25, false, true, Site::Failover),
            (26, false, false, Site::Failover),
            (99, false, true, Site::Failover),
            (100, true, true, Site::Primary),
            (101, false, true, Site::Primary),
            (106, false, false, Site::Primary),
            (107, false, true, Site::Failover),
            (108, true, false, Site::Primary),
        ];
        let mut active = Site::Primary;
        for (second, primary, secondary, expected) in steps {
            let view = failover.look(primary, secondary, start + Duration::from_secs(second));
            assert_eq!(view.active, expected, "{second}");
            assert_eq!(view.changed, view.active != active, "{second}");
            active = view.active;
        }
    }

    #[test]
    fn it_says_when_to_look_again() {
        let start = Instant::now();
        let mut failover = Failover::new(Duration::from_secs(5));
        assert_eq!(failover.look(true, true, start).again, None);
        let due = failover.look(false, true, start).again.unwrap();
        assert_eq!(due - start, Duration::from_secs(5));
        assert_eq!(failover.look(false, true, due).active, Site::Failover);
        assert_eq!(failover.away(due), Duration::from_secs(5));
        assert_eq!(failover.look(false, true, due).again, None);
    }
}
