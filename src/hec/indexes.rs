//! Indexes that were refused: for a while, what is meant for them is not even sent.
//!
//! A refusal belongs to the token it was given for. After [`REMEMBERED`] the index is tried anew, so that
//! nobody has to tell us that it was created.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use super::repair::Refusal;

/// How long a refusal is believed.
pub(super) const REMEMBERED: Duration = Duration::from_mins(5);

/// Refusals remembered at once; those beyond are found out again with each batch.
const INDEXES_MAX: usize = 256;

/// The most refusals told in [`REMEMBERED`]: whoever chooses indexes may choose thousands of wrong ones.
const TOLD_MAX: u32 = 20;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct RefusedIndexes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    indexes: HashMap<Arc<str>, Refused>,
    /// How many were told since then.
    told: Option<(Instant, u32)>,
}

/// Whether a refusal is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was known, or there were too many.
    No,
    Yes,
    /// The last one for a while.
    Last,
}

#[derive(Debug)]
struct Refused {
    token: HeaderValue,
    refusal: Refusal,
    until: Instant,
}

impl RefusedIndexes {
    /// How the index was refused, if it was for this token not long ago.
    pub(crate) fn find(&self, index: &str, token: &HeaderValue, now: Instant) -> Option<Refusal> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = state.indexes.get(index).filter(|found| found.token == *token && now < found.until);
        found.map(|found| found.refusal)
    }

    /// Remembers a refusal.
    pub(crate) fn remember(
        &self,
        index: &Arc<str>,
        token: &HeaderValue,
        refusal: Refusal,
        now: Instant,
    ) -> News {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let indexes = &mut state.indexes;
        indexes.retain(|_, known| now < known.until);
        let is_known = indexes.get(index).is_some_and(|known| known.token == *token);
        if indexes.len() < INDEXES_MAX || indexes.contains_key(index) {
            let refused = Refused { token: token.clone(), refusal, until: now + REMEMBERED };
            indexes.insert(Arc::clone(index), refused);
        }
        if is_known { News::No } else { state.tell(now) }
    }
}

impl State {
    fn tell(&mut self, now: Instant) -> News {
        let (since, told) = self.told.filter(|(since, _)| now < *since + REMEMBERED).unwrap_or((now, 0));
        self.told = Some((since, told.saturating_add(1)));
        match told + 1 {
            ..TOLD_MAX => News::Yes,
            TOLD_MAX => News::Last,
            _ => News::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::super::reply::HecCode;
    use super::*;

    const REFUSAL: Refusal =
        Refusal { status: StatusCode::BAD_REQUEST, code: Some(HecCode::INDEX), event_number: Some(1) };

    #[test]
    fn a_refusal_belongs_to_index_and_token_and_is_forgotten() {
        let indexes = RefusedIndexes::default();
        let (one, other) = (HeaderValue::from_static("Splunk 1"), HeaderValue::from_static("Splunk 2"));
        let (start, gone) = (Instant::now(), Arc::from("gone"));
        assert_eq!(indexes.remember(&gone, &one, REFUSAL, start), News::Yes);
        assert_eq!(indexes.remember(&gone, &one, REFUSAL, start), News::No, "it was known");
        assert_eq!(indexes.find("gone", &one, start), Some(REFUSAL));
        assert_eq!(indexes.find("main", &one, start), None);
        assert_eq!(indexes.find("gone", &other, start), None);
        let before = start + REMEMBERED - Duration::from_millis(1);
        assert_eq!(indexes.find("gone", &one, before), Some(REFUSAL));
        assert_eq!(indexes.find("gone", &one, start + REMEMBERED), None);
        assert_eq!(indexes.remember(&gone, &other, REFUSAL, before), News::Yes, "another token");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (indexes, token) = (RefusedIndexes::default(), HeaderValue::from_static("Splunk 1"));
        let now = Instant::now();
        let remember = |n: usize, at| indexes.remember(&Arc::from(n.to_string()), &token, REFUSAL, at);
        let news: Vec<_> = (0..INDEXES_MAX + 10).map(|n| remember(n, now)).collect();
        assert_eq!(indexes.0.lock().unwrap().indexes.len(), INDEXES_MAX);
        let (told, not_told) = news.split_at(TOLD_MAX as usize);
        assert!(told[..told.len() - 1].iter().all(|news| *news == News::Yes));
        assert_eq!(told.last(), Some(&News::Last));
        assert!(not_told.iter().all(|news| *news == News::No));
        assert_eq!(remember(0, now + REMEMBERED), News::Yes);
        assert_eq!(indexes.0.lock().unwrap().indexes.len(), 1);
    }
}
