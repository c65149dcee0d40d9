//! The token of one endpoint: where it comes from, and which of two is shown.
//!
//! A token in a file can be replaced without a restart. The new one is shown at once; until it was taken for
//! the first time the one before is kept, and shown again if the new one is refused: whoever writes
//! the file before Splunk knows the new token loses no time. Only when both are refused the endpoint is held.
//!
//! Secrets are in header values that no debug output shows.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use secrecy::SecretString;

use super::config::{ConfigError, authorization};

/// No token is longer; a file of another kind is not read whole.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Where the token comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// It is this.
    Fixed(SecretString),
    /// It is what this file holds, without white space at both ends.
    File(PathBuf),
}

impl From<SecretString> for TokenSource {
    fn from(token: SecretString) -> Self {
        Self::Fixed(token)
    }
}

impl From<String> for TokenSource {
    fn from(token: String) -> Self {
        Self::Fixed(token.into())
    }
}

impl From<&str> for TokenSource {
    fn from(token: &str) -> Self {
        Self::Fixed(token.into())
    }
}

impl TokenSource {
    fn read(&self) -> Result<HeaderValue, ConfigError> {
        match self {
            Self::Fixed(token) => authorization(token),
            Self::File(path) => authorization(&read(path)?),
        }
    }
}

fn read(path: &Path) -> Result<SecretString, ConfigError> {
    let wrap = |source| ConfigError::TokenFile { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text)).map_err(wrap)?;
    Ok(SecretString::from(text.trim()))
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Tokens {
    source: TokenSource,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    newest: HeaderValue,
    /// The one before, until the newest was taken.
    before: Option<HeaderValue>,
    shown: Which,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Newest,
    Before,
}

impl State {
    fn shown(&self) -> &HeaderValue {
        match (self.shown, &self.before) {
            (Which::Before, Some(before)) => before,
            (Which::Newest | Which::Before, _) => &self.newest,
        }
    }
}

/// What became of a look at the source.
#[derive(Debug)]
pub(crate) enum Reload {
    /// It holds the same as before.
    Same,
    /// It holds another token, which is shown from now on.
    Fresh,
    /// It holds none; the one there was stays.
    Failed(ConfigError),
}

impl Tokens {
    pub(crate) fn new(source: &TokenSource) -> Result<Self, ConfigError> {
        let state = State { newest: source.read()?, before: None, shown: Which::Newest };
        Ok(Self { source: source.clone(), state: Mutex::new(state) })
    }

    /// Whether the token may change.
    pub(crate) fn is_from_file(&self) -> bool {
        matches!(self.source, TokenSource::File(_))
    }

    /// The value of `Authorization` to send.
    pub(crate) fn shown(&self) -> HeaderValue {
        self.lock().shown().clone()
    }

    /// A request with this value was answered as a good token is.
    pub(crate) fn accepted(&self, value: &HeaderValue) {
        let mut state = self.lock();
        if state.before.is_some() && *value == state.newest {
            state.before = None;
            state.shown = Which::Newest;
        }
    }

    /// The token in this value was refused; true if there is another one to try at once.
    pub(crate) fn refused(&self, value: &HeaderValue) -> bool {
        let mut state = self.lock();
        if state.shown() != value {
            return true;
        }
        if state.shown == Which::Newest && state.before.is_some() {
            state.shown = Which::Before;
            return true;
        }
        // Of two that are refused the old one will not come back; the new one may be to come.
        state.before = None;
        state.shown = Which::Newest;
        false
    }

    /// Looks whether the source holds another token. Reads a file: not for async threads.
    pub(crate) fn reload(&self) -> Reload {
        if !self.is_from_file() {
            return Reload::Same;
        }
        let read = match self.source.read() {
            Ok(read) => read,
            Err(error) => return Reload::Failed(error),
        };
        let mut state = self.lock();
        if read == state.newest {
            return Reload::Same;
        }
        // What works now is what is worth keeping.
        state.before = Some(state.shown().clone());
        state.newest = read;
        state.shown = Which::Newest;
        Reload::Fresh
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        tokens: Tokens,
    }

    impl Bench {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("token"), text).unwrap();
            let tokens = Tokens::new(&TokenSource::File(folder.path().join("token"))).unwrap();
            Self { folder, tokens }
        }

        fn write(&self, text: &str) -> Reload {
            std::fs::write(self.folder.path().join("token"), text).unwrap();
            self.tokens.reload()
        }

        fn shown(&self) -> String {
            self.tokens.shown().to_str().unwrap().to_owned()
        }
    }

    #[test]
    fn a_file_is_read_without_the_space_around() {
        let bench = Bench::new(" first\r\n");
        assert_eq!(bench.shown(), "Splunk first");
        assert!(matches!(bench.tokens.reload(), Reload::Same));
        assert!(matches!(bench.write("first"), Reload::Same));
        for bad in ["", "two words", "bad\nlines"] {
            let Reload::Failed(error) = bench.write(bad) else { panic!("{bad:?}") };
            assert!(error.to_string().contains("not usable"), "{error}");
            assert_eq!(bench.shown(), "Splunk first", "what there is stays");
        }
        std::fs::remove_file(bench.folder.path().join("token")).unwrap();
        let Reload::Failed(error) = bench.tokens.reload() else { panic!("it is gone") };
        assert!(error.to_string().contains("token"), "{error}");
        assert!(!format!("{:?}", bench.tokens).contains("first"));
    }

    #[test]
    fn the_token_before_is_kept_until_the_new_one_was_taken() {
        let bench = Bench::new("old");
        assert!(matches!(bench.write("new"), Reload::Fresh));
        let new = bench.tokens.shown();
        assert_eq!(new, "Splunk new");
        assert!(bench.tokens.refused(&new), "not known yet");
        let old = bench.tokens.shown();
        assert_eq!(old, "Splunk old");
        assert!(bench.tokens.refused(&new), "a request that was under way");
        bench.tokens.accepted(&old);
        assert_eq!(bench.tokens.shown(), old);
        assert!(!bench.tokens.refused(&old), "both are refused");
        assert_eq!(bench.tokens.shown(), new);
        assert!(!bench.tokens.refused(&new), "there is only one left");
        assert_eq!(bench.tokens.shown(), new);

        bench.write("newer");
        bench.tokens.accepted(&bench.tokens.shown());
        let newer = bench.tokens.shown();
        assert!(!bench.tokens.refused(&newer), "nothing is kept after the first success");
    }
}
