//! The tags that mean something to the nozzle, found without a map.
//!
//! The order of tags is random in every envelope, so a chain of comparisons mispredicts on each;
//! a perfect hash of the known keys costs one comparison.

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

const SLOTS: usize = Key::ALL.len();
const TABLE_SIZE: usize = 64;

/// Where each key's hash points; built at compile time, which fails if two keys collide.
static TABLE: [Option<(Key, &[u8])>; TABLE_SIZE] = {
    let mut table = [None; TABLE_SIZE];
    let mut at = 0;
    while at < SLOTS {
        let (key, name) = (Key::ALL[at], Key::ALL[at].name().as_bytes());
        let slot = hash(name);
        assert!(table[slot].is_none(), "two known tags have the same hash: choose other factors");
        table[slot] = Some((key, name));
        at += 1;
    }
    table
};

/// Perfect over [`Key::ALL`]; the factors were found by search.
#[inline]
const fn hash(key: &[u8]) -> usize {
    if key.is_empty() {
        return 0;
    }
    (key.len() + 3 * key[key.len() / 2] as usize + 19 * key[0] as usize) % TABLE_SIZE
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
    let (known, name) = TABLE[hash(key)]?;
    (name == key).then_some(known)
}

/// The values of the known tags of one envelope, borrowed from it.
#[derive(Clone, Copy, Debug)]
pub struct Tags<'a> {
    slots: [Option<&'a [u8]>; SLOTS],
}

impl Default for Tags<'_> {
    #[inline]
    fn default() -> Self {
        Self { slots: [None; SLOTS] }
    }
}

impl<'a> Tags<'a> {
    /// The tag's value, if the envelope has the tag.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&'a [u8]> {
        self.slots[key as usize]
    }

    /// The tag's value, or nothing.
    #[inline]
    pub fn text(&self, key: Key) -> &'a [u8] {
        self.get(key).unwrap_or_default()
    }

    /// Keeps the entry if its key is known. A later entry of one key replaces an earlier one.
    #[inline]
    pub fn insert(&mut self, (key, value): (&'a [u8], &'a [u8])) {
        if let Some(key) = known(key) {
            self.set(key, value);
        }
    }

    /// Keeps the value of a known key.
    #[inline]
    pub fn set(&mut self, key: Key, value: &'a [u8]) {
        self.slots[key as usize] = Some(value);
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
        for other in ["", "x", "product", "process_id", "Origin", "origim"] {
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
        tags.insert((b"ip", b"1"));
        tags.insert((b"ip", b"2"));
        assert_eq!((tags.text(Key::Ip), tags.get(Key::Job)), (&b"2"[..], None));
    }
}
