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

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct RefusedIndexes(Mutex<HashMap<Arc<str>, Refused>>);

#[derive(Debug)]
struct Refused {
    token: HeaderValue,
    refusal: Refusal,
    until: Instant,
}

impl RefusedIndexes {
    /// How the index was refused, if it was for this token not long ago.
    pub(crate) fn find(&self, index: &str, token: &HeaderValue, now: Instant) -> Option<Refusal> {
        let indexes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = indexes.get(index).filter(|found| found.token == *token && now < found.until);
        found.map(|found| found.refusal)
    }

    /// Remembers a refusal; true if it is news.
    pub(crate) fn remember(
        &self,
        index: &Arc<str>,
        token: &HeaderValue,
        refusal: Refusal,
        now: Instant,
    ) -> bool {
        let mut indexes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.retain(|_, known| now < known.until);
        if indexes.len() >= INDEXES_MAX && !indexes.contains_key(index) {
            return true;
        }
        let refused = Refused { token: token.clone(), refusal, until: now + REMEMBERED };
        indexes.insert(Arc::clone(index), refused).is_none_or(|before| before.token != *token)
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
        assert!(indexes.remember(&gone, &one, REFUSAL, start));
        assert!(!indexes.remember(&gone, &one, REFUSAL, start), "it was known");
        assert_eq!(indexes.find("gone", &one, start), Some(REFUSAL));
        assert_eq!(indexes.find("main", &one, start), None);
        assert_eq!(indexes.find("gone", &other, start), None);
        let before = start + REMEMBERED - Duration::from_millis(1);
        assert_eq!(indexes.find("gone", &one, before), Some(REFUSAL));
        assert_eq!(indexes.find("gone", &one, start + REMEMBERED), None);
        assert!(indexes.remember(&gone, &other, REFUSAL, before), "another token");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (indexes, token) = (RefusedIndexes::default(), HeaderValue::from_static("Splunk 1"));
        let now = Instant::now();
        for n in 0..INDEXES_MAX + 10 {
            indexes.remember(&Arc::from(n.to_string()), &token, REFUSAL, now);
        }
        assert_eq!(indexes.0.lock().unwrap().len(), INDEXES_MAX);
        indexes.remember(&Arc::from("late"), &token, REFUSAL, now + REMEMBERED);
        assert_eq!(indexes.0.lock().unwrap().len(), 1);
    }
}
