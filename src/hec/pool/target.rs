//! One configured URL: its site, its name, and when that is looked up again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::{Host, Url};

use super::failover::Site;
use super::shared::Shared;

/// How often a name is looked up.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// How soon it is looked up again after no connection could be had.
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);

/// The least time between two warnings of a name that cannot be looked up.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// See the module's documentation.
pub(crate) struct Target {
    pub(crate) site: Site,
    /// Where events are posted to.
    pub(crate) url: Url,
    pub(crate) shared: Arc<Shared>,
    /// Host and port to look up. `None`: connections go by the URL, since there is a proxy that
    /// knows the way, or the host is an address.
    pub(crate) name: Option<(String, u16)>,
    schedule: Mutex<Schedule>,
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    asked: Instant,
    due: Instant,
    /// Whether there has been an answer.
    answered: bool,
    warned: Option<Instant>,
    /// Addresses beyond those that are used.
    left_out: usize,
}

impl Target {
    pub(crate) fn new(url: Url, shared: Arc<Shared>, now: Instant) -> Self {
        let name = if shared.settings.is_proxied(&url) { None } else { name(&url) };
        let schedule = Schedule { asked: now, due: now, answered: false, warned: None, left_out: 0 };
        Self { site: shared.site, url, shared, name, schedule: Mutex::new(schedule) }
    }

    /// When the name is to be looked up; `None` if it never is.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.name.as_ref().map(|_| self.schedule().due)
    }

    /// It is looked up now.
    pub(crate) fn asked(&self, now: Instant) {
        let mut schedule = self.schedule();
        schedule.asked = now;
        // So that many instances do not ask all at once.
        schedule.due = now + RESOLVE_EVERY.mul_f64(0.9 + 0.2 * fastrand::f64());
    }

    /// There was an answer; true if it is the first.
    pub(crate) fn answered(&self) -> bool {
        !std::mem::replace(&mut self.schedule().answered, true)
    }

    /// There were so many addresses more than are used; true if that is worth saying.
    pub(crate) fn left_out(&self, addresses: usize) -> bool {
        let before = std::mem::replace(&mut self.schedule().left_out, addresses);
        before == 0 && addresses > 0
    }

    /// There was none: whether that is worth a warning now.
    pub(crate) fn failed(&self, now: Instant) -> bool {
        let mut schedule = self.schedule();
        let due = schedule.warned.is_none_or(|warned| now.saturating_duration_since(warned) >= WARN_EVERY);
        if due {
            schedule.warned = Some(now);
        }
        due
    }

    /// No connection could be had: the addresses may have changed.
    pub(crate) fn look_up_soon(&self) {
        let mut schedule = self.schedule();
        schedule.due = schedule.due.min(schedule.asked + RESOLVE_AGAIN);
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name to look up. `localhost` is this machine, whichever of its addresses answers.
fn name(url: &Url) -> Option<(String, u16)> {
    match url.host()? {
        Host::Domain("localhost") | Host::Ipv4(_) | Host::Ipv6(_) => None,
        Host::Domain(name) => Some((name.to_owned(), url.port_or_known_default()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hec::ClientConfig;
    use crate::proxy::{Proxy, ProxySettings};

    fn target(url: &str, proxied: bool) -> Target {
        let url: Url = url.parse().unwrap();
        let mut config = ClientConfig::new(url.clone(), "token".into());
        if proxied {
            config.proxies = ProxySettings { plain: Proxy::parse("proxy:3128"), ..ProxySettings::default() };
        }
        let shared = Shared::new(Site::Primary, &config, &config.token, std::slice::from_ref(&url)).unwrap();
        Target::new(url, Arc::new(shared), Instant::now())
    }

    #[test]
    fn names_are_looked_up_and_nothing_else() {
        for (url, proxied, name) in [
            ("http://hec.test:8088", false, Some(("hec.test", 8088))),
            ("http://hec.test", false, Some(("hec.test", 80))),
            ("http://hec.test", true, None),
            ("http://10.0.0.1:8088", false, None),
            ("http://[::1]:8088", false, None),
            ("http://localhost:8088", false, None),
        ] {
            let found = target(url, proxied).name;
            assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), name, "{url}");
        }
    }

    #[test]
    fn a_name_is_looked_up_every_half_minute_and_sooner_when_nothing_can_be_reached() {
        let target = target("http://hec.test", false);
        let now = Instant::now();
        target.asked(now);
        let due = target.due().unwrap() - now;
        assert!((27..=33).contains(&due.as_secs()), "{due:?}");
        target.look_up_soon();
        assert_eq!(target.due().unwrap() - now, RESOLVE_AGAIN);
        let later = now + Duration::from_secs(20);
        target.asked(later);
        assert!(target.due().unwrap() > later + RESOLVE_AGAIN);
    }

    #[test]
    fn warnings_are_a_minute_apart_and_the_first_answer_is_known() {
        let target = target("http://hec.test", false);
        let now = Instant::now();
        let warned = |second| target.failed(now + Duration::from_secs(second));
        assert_eq!([0, 5, 59, 60, 61, 120].map(warned), [true, false, false, true, false, true]);
        assert_eq!([target.answered(), target.answered()], [true, false]);
        assert_eq!([0, 3, 4, 0, 1].map(|more| target.left_out(more)), [false, true, false, false, true]);
    }
}
