//! What is under every nozzle: operations that are the same work on every machine and in every program, measured here and
//! beside what they take on the machine on which the aims were set.
//!
//! - `operations`: each by itself, on one thread, in CPU time.
//! - `multiples`: what an event costs the nozzle, as a multiple of what it costs to do only these.
//!
//! A program that calls this has the system's allocator, as the one that measured the reference had.

pub mod multiples;
pub mod operations;

/// Bytes of HEC JSON of one event; ciphers, sockets and gzip are told for so many.
pub const EVENT_BYTES: f64 = 891.0;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// AES-128-GCM, as TLS does it: 16 KiB records copied and sealed.
    Seal,
    /// Writing to a socket, 64 KiB a call.
    Write,
    /// Reading from a socket, 64 KiB a call.
    Read,
    /// Reading from a socket, one event a call.
    ReadEach,
    /// Level 1 of zlib-rs.
    Gzip,
    /// A v1 envelope of 12 tags into an owned message.
    DecodeV1,
    /// A v2 envelope of 17 tags likewise.
    DecodeV2,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Seal, Self::Write, Self::Read, Self::ReadEach, Self::Gzip, Self::DecodeV1, Self::DecodeV2];

    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal, AES-128-GCM, 16 KiB records",
            Self::Write => "write to a socket, 64 KiB a call",
            Self::Read => "read from a socket, 64 KiB a call",
            Self::ReadEach => "read from a socket, an event a call",
            Self::Gzip => "gzip, zlib-rs level 1",
            Self::DecodeV1 => "prost, a v1 envelope of 12 tags",
            Self::DecodeV2 => "prost, a v2 envelope of 17 tags",
        }
    }

    /// What it takes on the reference machine, in ns of CPU for one event.
    pub fn reference(self) -> f64 {
        match self {
            Self::Seal => 46.0,
            Self::Write => 32.0,
            Self::Read => 20.0,
            Self::ReadEach => 770.0,
            Self::Gzip => 1200.0,
            Self::DecodeV1 => 1580.0,
            Self::DecodeV2 => 2790.0,
        }
    }
}

/// What the operations take here, in ns of CPU for one event.
#[derive(Clone, Copy, Debug)]
pub struct Floor([f64; Operation::ALL.len()]);

impl Floor {
    /// Measures all of them.
    ///
    /// # Errors
    /// There are no sockets.
    pub fn measure() -> anyhow::Result<Self> {
        let corpus = crate::corpus::Corpus::new(256)?;
        let mut floor = [0.0; Operation::ALL.len()];
        for (nanos, operation) in floor.iter_mut().zip(Operation::ALL) {
            *nanos = operations::measure(operation, &corpus)?;
        }
        Ok(Self(floor))
    }

    /// One of them.
    pub fn nanos(&self, operation: Operation) -> f64 {
        self.0[operation as usize]
    }

    /// How many times as long it takes here.
    pub fn factor(&self, operation: Operation) -> f64 {
        self.nanos(operation) / operation.reference()
    }

    /// A table of all.
    pub fn table(&self) -> String {
        let row = |operation: Operation| {
            format!(
                "| {} | {:.0} | {:.0} | {:.1} |\n",
                operation.name(),
                operation.reference(),
                self.nanos(operation),
                self.factor(operation)
            )
        };
        let head = "| ns of CPU per event | reference | here | times |\n|---|---|---|---|\n";
        head.to_owned() + &Operation::ALL.map(row).concat()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine on which everything takes so many times as long.
    pub(crate) fn slower(times: f64) -> Floor {
        Floor(Operation::ALL.map(|operation| operation.reference() * times))
    }

    #[test]
    fn the_table_has_each_beside_its_reference() {
        let text = slower(2.5).table();
        assert!(text.contains("| gzip, zlib-rs level 1 | 1200 | 3000 | 2.5 |"), "{text}");
        assert_eq!(text.lines().count(), 2 + Operation::ALL.len());
    }
}
