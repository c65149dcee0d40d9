//! The tags that mean something to the nozzle, found without a map.
//!
//! The order of tags is random in every envelope, so each jump that depends on one is mispredicted
//! half of the time: a perfect hash of the known keys costs one comparison, and that is no jump.

use std::hint::select_unpredictable;

use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::reader::{Reader, split_entry};

/// Declares the known keys, their spelling and the order of their slots.
macro_rules! keys {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// A tag with a meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Key { $($(#[$doc])* $variant,)+ }

        impl Key {
            /// Every key, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// How the key is spelled on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

keys! {
    /// The emitting component.
    Origin = "origin",
    /// The BOSH deployment.
    Deployment = "deployment",
    /// The BOSH job (instance group).
    Job = "job",
    /// The BOSH instance id.
    Index = "index",
    /// The VM's address.
    Ip = "ip",
    /// The v1 event type an envelope came in as.
    V1Type = "__v1_type",
    /// What part of the platform or app wrote a log line, such as `APP/PROC/WEB`.
    SourceType = "source_type",
    /// The envelope's source id once more.
    SourceId = "source_id",
    /// The envelope's instance id once more.
    InstanceId = "instance_id",
    /// The app's name.
    AppName = "app_name",
    /// The GUID of the app's space.
    SpaceId = "space_id",
    /// The name of the app's space.
    SpaceName = "space_name",
    /// The GUID of the app's organisation.
    OrgId = "organization_id",
    /// The name of the app's organisation.
    OrgName = "organization_name",
    /// HTTP timers: the request's id.
    RequestId = "request_id",
    /// HTTP timers: which side measured, `Client` or `Server`.
    PeerType = "peer_type",
    /// HTTP timers: the method.
    Method = "method",
    /// HTTP timers: the URI.
    Uri = "uri",
    /// HTTP timers: the caller's address.
    RemoteAddress = "remote_address",
    /// HTTP timers: the caller's User-Agent.
    UserAgent = "user_agent",
    /// HTTP timers: the reply's status.
    StatusCode = "status_code",
    /// HTTP timers: the reply's size in bytes.
    ContentLength = "content_length",
    /// HTTP timers: the app instance that answered.
    RoutingInstanceId = "routing_instance_id",
    /// HTTP timers: the X-Forwarded-For addresses, one a line.
    Forwarded = "forwarded",
    /// The platform's own counters: which way envelopes were going.
    Direction = "direction",
    /// Errors: the component.
    Source = "source",
    /// Errors: the code.
    Code = "code",
}

/// The longest known key fits.
const NAME_BYTES_MAX: usize = 24;

/// The bytes of a name as words, zeros after it.
type Words = [u64; NAME_BYTES_MAX / 8];

/// A name, with what comes after it in the frame: so it can be read as words, whatever its length is.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    text: &'a [u8],
    length: usize,
}

impl<'a> Name<'a> {
    /// The first `length` bytes of a text, which is that long or longer.
    #[inline(always)]
    pub fn starting(text: &'a [u8], length: usize) -> Self {
        Self { text, length }
    }

    /// Its number among the known keys, or [`UNKNOWN`].
    ///
    /// Looked up without a jump that depends on the name: the order of tags is random in every envelope, so each such
    /// jump would be mispredicted in half of all cases.
    #[inline(always)]
    fn number(self) -> usize {
        let Some(text) = self.text.first_chunk() else { return number_at_the_end(self.text, self.length) };
        let mask = &MASKS[self.length.min(NAME_BYTES_MAX)];
        let words = words(text);
        lookup([words[0] & mask[0], words[1] & mask[1], words[2] & mask[2]], self.length)
    }
}

/// The number of a name in the last bytes of a frame.
#[inline(never)]
fn number_at_the_end(text: &[u8], length: usize) -> usize {
    let mut padded = [0; NAME_BYTES_MAX];
    match (text.get(..length), padded.get_mut(..length)) {
        (Some(name), Some(room)) => room.copy_from_slice(name),
        _ => return UNKNOWN,
    }
    lookup(words(&padded), length)
}

/// Room for values by number, so that no number has to be checked: a power of two.
const ROOM: usize = 32;

/// What is not known has this number, and room.
const UNKNOWN: usize = Key::ALL.len();
const _: () = assert!(UNKNOWN < ROOM && ROOM.is_power_of_two());

/// Keeps so many bytes of a name.
static MASKS: [Words; NAME_BYTES_MAX + 1] = {
    let mut masks = [[0; 3]; NAME_BYTES_MAX + 1];
    let mut length = 0;
    while length <= NAME_BYTES_MAX {
        let mut bytes = [0; NAME_BYTES_MAX];
        let mut at = 0;
        while at < length {
            bytes[at] = 0xff;
            at += 1;
        }
        masks[length] = words(&bytes);
        length += 1;
    }
    masks
};

const TABLE_BITS: u32 = 6;

/// A known key, where its hash points.
#[derive(Clone, Copy)]
struct Known {
    words: Words,
    length: usize,
    number: usize,
}

/// Built at compile time, which fails if two keys collide.
static TABLE: [Known; 1 << TABLE_BITS] = {
    let mut table = [Known { words: [0; 3], length: 0, number: UNKNOWN }; 1 << TABLE_BITS];
    let mut number = 0;
    while number < Key::ALL.len() {
        let name = Key::ALL[number].name().as_bytes();
        let mut padded = [0; NAME_BYTES_MAX];
        padded.split_at_mut(name.len()).0.copy_from_slice(name);
        let words = words(&padded);
        let slot = hash(words);
        assert!(table[slot].number == UNKNOWN, "two known tags have the same hash: choose another factor");
        table[slot] = Known { words, length: name.len(), number };
        number += 1;
    }
    table
};

#[inline(always)]
const fn words(text: &[u8; NAME_BYTES_MAX]) -> Words {
    let (chunks, _) = text.as_chunks::<8>();
    [u64::from_le_bytes(chunks[0]), u64::from_le_bytes(chunks[1]), u64::from_le_bytes(chunks[2])]
}

/// Perfect over [`Key::ALL`]; the factor was found by search. The third word tells none from another.
#[inline(always)]
const fn hash(words: Words) -> usize {
    const FACTOR: u64 = 0x8034_68b6_b610_a9f7;
    let product = (words[0] ^ words[1].rotate_left(23)).wrapping_mul(FACTOR);
    (product >> (u64::BITS - TABLE_BITS)) as usize
}

#[inline(always)]
fn lookup(words: Words, length: usize) -> usize {
    let known = &TABLE[hash(words)];
    let [a, b, c] = known.words;
    let differs = (words[0] ^ a) | (words[1] ^ b) | (words[2] ^ c) | (length ^ known.length) as u64;
    select_unpredictable(differs == 0, known.number, UNKNOWN) % ROOM
}

/// A set of known keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeySet(u32);

impl KeySet {
    /// The set of some keys.
    pub const fn of(keys: &[Key]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < keys.len() {
            bits |= 1 << keys[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    /// Both sets together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the key is in the set.
    #[inline]
    pub const fn contains(self, key: Key) -> bool {
        self.0 >> key as u32 & 1 == 1
    }
}

/// The known key with this spelling, if it is one.
#[inline]
pub fn known(key: &[u8]) -> Option<Key> {
    Key::ALL.get(Name::starting(key, key.len()).number()).copied()
}

/// The values of the known tags of one envelope, borrowed from it.
#[derive(Clone, Copy, Debug)]
pub struct Tags<'a> {
    /// By number; the others are not read.
    values: [Option<&'a [u8]>; ROOM],
}

impl Default for Tags<'_> {
    #[inline]
    fn default() -> Self {
        Self { values: [None; ROOM] }
    }
}

impl<'a> Tags<'a> {
    /// The tag's value, if the envelope has the tag.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&'a [u8]> {
        self.values[key as usize]
    }

    /// The tag's value, or nothing.
    #[inline]
    pub fn text(&self, key: Key) -> &'a [u8] {
        self.get(key).unwrap_or_default()
    }

    /// Keeps a value if its key is known. A later one of the same key replaces an earlier one.
    #[inline(always)]
    pub fn insert(&mut self, key: Name<'_>, value: &'a [u8]) {
        self.values[key.number()] = Some(value);
    }
}

/// Splits an entry of a `map<string, …>` into key and value bytes.
///
/// # Errors
/// The kind of damage.
#[inline]
pub fn entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    match split_entry(bytes) {
        Some(entry) => Ok(entry),
        None => any_entry(bytes),
    }
}

#[cold]
fn any_entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(bytes);
    let (mut key, mut value) = (&[][..], &[][..]);
    while let Some((number, field)) = reader.next_field()? {
        match number {
            1 => key = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_nothing_else() {
        for key in Key::ALL {
            assert_eq!(known(key.name().as_bytes()), Some(*key));
            let longer = format!("{}x", key.name());
            assert_eq!(known(longer.as_bytes()), None, "{longer}");
        }
        for other in [
            "ip\0",
            "organization_nam",
            "organization_names_and_more",
            "",
            "x",
            "product",
            "process_id",
            "Origin",
            "origim",
        ] {
            assert_eq!(known(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = KeySet::of(&[Key::Origin, Key::Code]).and(KeySet::of(&[Key::Uri]));
        let held: Vec<_> = Key::ALL.iter().filter(|key| set.contains(**key)).collect();
        assert_eq!(held, [&Key::Origin, &Key::Uri, &Key::Code]);
    }

    #[test]
    fn the_last_of_two_entries_counts() {
        let mut tags = Tags::default();
        for (text, value) in [("ip", b"1"), ("ip and more than a name is long", b"2"), ("job", b"3")] {
            tags.insert(Name::starting(text.as_bytes(), 2), value);
        }
        assert_eq!((tags.text(Key::Ip), tags.get(Key::Job)), (&b"2"[..], None));
    }
}
