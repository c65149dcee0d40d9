//! The log lines of the load, as an eventgen sample: lines of an exact size, with tokens whose values all
//! differ from event to event.
//!
//! Every marker has values of one width, so a line's size is known before. The lines look like those of
//! real apps and share no padding, so that they compress like them; the tests hold that.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Lines of a sample; events pick among them at random.
const LINES: usize = 64;
/// Letters of every word.
const WORD: usize = 6;
const WORDS: [&str; 24] = [
    "orders", "basket", "client", "refund", "search", "ticket", "cached", "queued", "failed", "closed",
    "opened", "loaded", "stored", "mailer", "worker", "tenant", "bucket", "leader", "shards", "voucher",
    "credit", "parcel", "tariff", "ledger",
];

/// Marker, replacement type, replacement, width.
const TOKENS: [(&str, &str, &str, usize); 7] = [
    ("@time@", "timestamp", "%Y-%m-%dT%H:%M:%S", 19),
    ("@guid@", "random", "guid", 36),
    ("@hex16@", "random", "hex(16)", 16),
    ("@n5@", "random", "integer[10000:99999]", 5),
    ("@n3@", "random", "integer[100:999]", 3),
    ("@n2@", "random", "integer[10:99]", 2),
    ("@word@", "file", "words.list", WORD),
];

const TEXT: [&str; 4] = [
    r#"10.1@n2@.2@n2@.1@n2@ - - [@time@] "GET /api/v1/@word@/@n5@@n5@?page=@n2@ HTTP/1.1" 200 @n5@ "-" "okhttp/4.12.0" 0.@n3@"#,
    "@time@.@n3@Z  INFO 7 --- [nio-8080-exec-@n3@] c.e.@word@.OrderService : @word@ @n5@@n3@ @word@ in @n3@ ms",
    r#"time=@time@.@n3@Z level=info component=@word@ msg="@word@ @word@" count=@n5@ took=@n3@ms trace=@hex16@@hex16@"#,
    "[@time@.@n5@ #@n5@] Completed 200 in @n3@ms (Views: @n2@.1ms | Allocations: @n5@) [@guid@]",
];
const TEXT_MORE: [&str; 4] =
    [" @word@_id=@guid@", " @word@.queue=@n5@", " upstream=10.1@n2@.1@n2@.2@n2@", " @word@ @hex16@ @word@;"];

const JSON: [&str; 2] = [
    r#"{"timestamp":"@time@.@n3@Z","level":"INFO","logger":"c.e.@word@.Service","message":"@word@ @n5@ @word@","traceId":"@hex16@@hex16@","durationMs":@n3@,"retry":false"#,
    r#"{"ts":"@time@.@n3@Z","severity":"WARN","component":"@word@","event":"@word@.@word@","request_id":"@guid@","status":@n3@,"bytes":@n5@"#,
];
const JSON_MORE: [&str; 4] = [
    r#","@word@_id":"@guid@""#,
    r#","@word@Count":@n5@"#,
    r#","@word@":{"id":@n5@@n3@,"state":"@word@","share":0.@n3@}"#,
    r#","spanId":"@hex16@","host":"10.1@n2@.2@n2@.1@n2@""#,
];

/// Whether log lines are text or JSON objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Unstructured.
    Text,
    /// One object in each line.
    Json,
}

/// What the log lines are: form and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lines {
    /// Text or JSON.
    pub form: Form,
    /// Bytes of each.
    pub bytes: usize,
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = if self.form == Form::Json { "json" } else { "text" };
        write!(f, "{form}-{}", self.bytes)
    }
}

impl FromStr for Lines {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?}: expected text-BYTES or json-BYTES, from 256 bytes to 60000");
        let (form, bytes) = text.split_once('-').ok_or_else(expected)?;
        let form = match form {
            "text" => Form::Text,
            "json" => Form::Json,
            _ => return Err(expected()),
        };
        let bytes = bytes.parse().ok().filter(|bytes| (256..=60_000).contains(bytes)).ok_or_else(expected)?;
        Ok(Self { form, bytes })
    }
}

impl Lines {
    /// Writes `lines.log` and what its tokens draw from; gives the settings of its stanza.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(self, folder: &Path) -> std::io::Result<String> {
        let mut rng = Rng::with_seed(1);
        let lines: String = (0..LINES).map(|n| self.template(n, &mut rng) + "\n").collect();
        fs::write(folder.join("lines.log"), lines)?;
        fs::write(folder.join("words.list"), WORDS.map(|word| word[..WORD].to_owned() + "\n").concat())?;
        let token = |(n, (marker, kind, replacement, _)): (usize, &(&str, &str, &str, usize))| {
            format!(
                "token.{n}.token = {marker}\ntoken.{n}.replacementType = {kind}\ntoken.{n}.replacement = {replacement}\n"
            )
        };
        Ok(TOKENS.iter().enumerate().map(token).collect())
    }

    /// A line that has exactly the size once its markers are replaced.
    fn template(self, n: usize, rng: &mut Rng) -> String {
        let (shapes, more, end): (&[&str], _, _) = match self.form {
            Form::Text => (&TEXT, &TEXT_MORE, ""),
            Form::Json => (&JSON, &JSON_MORE, "\"}"),
        };
        let mut line = shapes[n % shapes.len()].to_owned();
        let mut left = self.bytes - width(&line) - end.len();
        // What is left after it has room for the last member.
        let room = if self.form == Form::Json { r#","note":""#.len() } else { 1 };
        loop {
            let next = more[rng.usize(..more.len())];
            if width(next) + room > left {
                break;
            }
            line += next;
            left -= width(next);
        }
        if self.form == Form::Json {
            line += r#","note":""#;
            left -= room;
        }
        // Words of other lengths than the tokens', cut to size.
        let rest: String = (0..left).map(|at| if at % 8 == 0 { ' ' } else { letter(rng) }).collect();
        line + &rest + end
    }
}

fn letter(rng: &mut Rng) -> char {
    char::from(b"etaoinshrdlucmfw"[rng.usize(..16)])
}

/// The size of a text once its markers are replaced.
fn width(text: &str) -> usize {
    let grow = |width: usize, (marker, .., value): &(&str, &str, &str, usize)| {
        let times = text.matches(marker).count();
        width - times * marker.len() + times * value
    };
    TOKENS.iter().fold(text.len(), grow)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 5] = ["text-256", "json-256", "text-1024", "json-1024", "text-60000"];

    #[test]
    fn every_line_has_the_size_asked_for() {
        for name in ALL {
            let lines: Lines = name.parse().unwrap();
            assert_eq!(lines.to_string(), name);
            let mut rng = Rng::with_seed(7);
            for n in 0..200 {
                let line = lines.template(n, &mut rng);
                assert_eq!(width(&line), lines.bytes, "{line}");
            }
        }
        for wrong in ["text", "text-255", "yaml-256", "json-x"] {
            assert!(wrong.parse::<Lines>().unwrap_err().contains("expected text-BYTES"), "{wrong}");
        }
    }

    #[test]
    fn json_lines_are_objects() {
        for bytes in [256, 1024] {
            let mut rng = Rng::with_seed(3);
            for n in 0..50 {
                let line = Lines { form: Form::Json, bytes }.template(n, &mut rng);
                // Numbers are tokens, too.
                let line = TOKENS.iter().fold(line, |line, (marker, ..)| line.replace(marker, "1"));
                assert!(serde_json::from_str::<serde_json::Value>(&line).unwrap().is_object(), "{line}");
            }
        }
    }
}
