//! Tokens: where that of a site comes from, and which of two an endpoint is shown.
//!
//! A token in a file can be replaced without a restart. The new one is shown at once; until an endpoint took
//! it for the first time the one before is kept for it, and shown again if the new one is refused: whoever
//! writes the file before Splunk knows the new token loses no time, nor do nodes that learn of it one after
//! another. Only an endpoint that refuses both is held.
//!
//! Secrets are in header values that no debug output shows.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// The token of a site, as its source holds it.
#[derive(Debug)]
pub(crate) struct Credentials {
    source: TokenSource,
    present: Mutex<Present>,
}

#[derive(Clone, Debug)]
struct Present {
    newest: HeaderValue,
    /// The one before, for endpoints that are yet to be found.
    before: Option<HeaderValue>,
    /// How often it was replaced.
    version: u64,
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

impl Credentials {
    pub(crate) fn new(source: &TokenSource) -> Result<Self, ConfigError> {
        let present = Present { newest: source.read()?, before: None, version: 0 };
        Ok(Self { source: source.clone(), present: Mutex::new(present) })
    }

    /// Where the token comes from, if it may change.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.source {
            TokenSource::Fixed(_) => None,
            TokenSource::File(path) => Some(path),
        }
    }

    /// How often the token was replaced, whoever found it out.
    pub(crate) fn version(&self) -> u64 {
        self.present().version
    }

    /// Looks whether the source holds another token. Reads a file: not for async threads.
    pub(crate) fn reload(&self) -> Reload {
        if self.file().is_none() {
            return Reload::Same;
        }
        let read = match self.source.read() {
            Ok(read) => read,
            Err(error) => return Reload::Failed(error),
        };
        let mut present = self.present();
        if read == present.newest {
            return Reload::Same;
        }
        present.before = Some(std::mem::replace(&mut present.newest, read));
        present.version += 1;
        Reload::Fresh
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        // Each change leaves it whole.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one endpoint made of the tokens of its site.
#[derive(Debug)]
pub(crate) struct Tokens {
    credentials: Arc<Credentials>,
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

/// What is left when a token was refused.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Another one, which is shown from now on.
    TryAnother,
    /// Nothing but this one, which is the newest as far as is known.
    Newest(HeaderValue),
}

impl Tokens {
    pub(crate) fn new(credentials: Arc<Credentials>) -> Self {
        let Present { newest, before, .. } = credentials.present().clone();
        Self { credentials, state: Mutex::new(State { newest, before, shown: Which::Newest }) }
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

    /// The token in this value was refused.
    pub(crate) fn refused(&self, value: &HeaderValue) -> Refused {
        let mut state = self.lock();
        if state.shown() != value {
            return Refused::TryAnother;
        }
        if state.shown == Which::Newest && state.before.is_some() {
            state.shown = Which::Before;
            return Refused::TryAnother;
        }
        // Of two that are refused the old one will not come back; the new one may be to come.
        state.before = None;
        state.shown = Which::Newest;
        Refused::Newest(state.newest.clone())
    }

    /// Reads the file again, if there is one; true if it holds another token than this.
    pub(crate) async fn look_for_other_than(&self, newest: &HeaderValue) -> bool {
        if self.credentials.file().is_none() {
            return false;
        }
        let credentials = Arc::clone(&self.credentials);
        // What is wrong with the file is said by those who look at it all the time.
        let look = tokio::task::spawn_blocking(move || drop(credentials.reload()));
        look.await.is_ok() && self.credentials.present().newest != *newest
    }

    /// The state, up to date with the source as far as that was read.
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change leaves it whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.credentials.present();
        if present.newest != state.newest {
            // What works now is what is worth keeping.
            state.before = Some(state.shown().clone());
            state.newest = present.newest.clone();
            state.shown = Which::Newest;
        }
        drop(present);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        credentials: Arc<Credentials>,
        tokens: Tokens,
    }

    impl Bench {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("token"), text).unwrap();
            let source = TokenSource::File(folder.path().join("token"));
            let credentials = Arc::new(Credentials::new(&source).unwrap());
            Self { folder, tokens: Tokens::new(Arc::clone(&credentials)), credentials }
        }

        fn write(&self, text: &str) -> Reload {
            std::fs::write(self.folder.path().join("token"), text).unwrap();
            self.credentials.reload()
        }

        fn shown(&self) -> String {
            self.tokens.shown().to_str().unwrap().to_owned()
        }
    }

    fn is_another(refused: Refused) -> bool {
        matches!(refused, Refused::TryAnother)
    }

    #[test]
    fn a_file_is_read_without_the_space_around() {
        let bench = Bench::new(" first\r\n");
        assert_eq!(bench.shown(), "Splunk first");
        assert!(matches!(bench.credentials.reload(), Reload::Same));
        assert!(matches!(bench.write("first"), Reload::Same));
        for bad in ["", "two words", "bad\nlines"] {
            let Reload::Failed(error) = bench.write(bad) else { panic!("{bad:?}") };
            assert!(error.to_string().contains("not usable"), "{error}");
            assert_eq!(bench.shown(), "Splunk first", "what there is stays");
        }
        std::fs::remove_file(bench.folder.path().join("token")).unwrap();
        let Reload::Failed(error) = bench.credentials.reload() else { panic!("it is gone") };
        assert!(error.to_string().contains("token"), "{error}");
        assert!(!format!("{:?}", bench.tokens).contains("first"));
    }

    #[test]
    fn the_token_before_is_kept_until_the_new_one_was_taken() {
        let bench = Bench::new("old");
        assert!(matches!(bench.write("new"), Reload::Fresh));
        let new = bench.tokens.shown();
        assert_eq!(new, "Splunk new");
        assert!(is_another(bench.tokens.refused(&new)), "not known yet");
        let old = bench.tokens.shown();
        assert_eq!(old, "Splunk old");
        assert!(is_another(bench.tokens.refused(&new)), "a request that was under way");
        bench.tokens.accepted(&old);
        assert_eq!(bench.tokens.shown(), old);
        assert!(!is_another(bench.tokens.refused(&old)), "both are refused");
        assert_eq!(bench.tokens.shown(), new);
        assert!(!is_another(bench.tokens.refused(&new)), "there is only one left");
        assert_eq!(bench.tokens.shown(), new);

        bench.write("newer");
        bench.tokens.accepted(&bench.tokens.shown());
        let newer = bench.tokens.shown();
        assert!(!is_another(bench.tokens.refused(&newer)), "nothing is kept after the first success");
    }

    #[test]
    fn each_endpoint_changes_over_in_its_own_time() {
        let bench = Bench::new("old");
        let slow = Tokens::new(Arc::clone(&bench.credentials));
        assert!(matches!(bench.write("new"), Reload::Fresh));
        let new = bench.tokens.shown();
        bench.tokens.accepted(&new);
        assert!(is_another(slow.refused(&slow.shown())));
        assert_eq!(slow.shown(), "Splunk old");
        assert_eq!(bench.tokens.shown(), new, "what one refuses says nothing of another");
        let late = Tokens::new(Arc::clone(&bench.credentials));
        assert!(is_another(late.refused(&new)), "one that is found later may be slow as well");
        assert_eq!(late.shown(), "Splunk old");
    }
}
