//! The sample of five tokens that both benchmarks of eventgen use: a timestamp, an address, a number, a
//! line of a file and an id in each line.

use std::fs;
use std::path::Path;

/// 185 bytes.
pub const LINE: &str = "2024-01-15 12:00:00 INFO src=10.0.0.1 bytes=12345 user=somebody \
    request=aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee path=/api/v1/orders/list status=200 agent=\"Mozilla/5.0 (X11; Linux) eg/1.0\"\n";

/// The tokens of a stanza.
pub const TOKENS: &str = r"
token.0.token = ^\S+ \S+
token.0.replacementType = timestamp
token.0.replacement = %Y-%m-%d %H:%M:%S
token.1.token = src=(\S+)
token.1.replacementType = random
token.1.replacement = ipv4
token.2.token = bytes=(\d+)
token.2.replacementType = random
token.2.replacement = integer[10000:99999]
token.3.token = user=(\w+)
token.3.replacementType = file
token.3.replacement = users.list
token.4.token = request=(\S+)
token.4.replacementType = random
token.4.replacement = guid
";

/// Writes the file that the fourth token draws from: a thousand names.
///
/// # Errors
/// The folder cannot be written to.
pub fn write_users(folder: &Path) -> std::io::Result<()> {
    let users: String = (0..1000).map(|number| format!("user{number:04}\n")).collect();
    fs::write(folder.join("users.list"), users)
}
