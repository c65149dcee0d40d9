//! Why envelopes are left out or lost, and what is wrong with bytes that are none: the names that stand in the ledger,
//! in metrics and in the documentation.

/// Declares an enum of reasons with the names they have in the ledger, in metrics and in docs.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every reason, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name used in the ledger, in metrics and in the documentation.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

pub(in crate::nozzle) use reasons;

reasons! {
    /// Why an envelope was left out on purpose.
    Filter {
        /// EVENTS does not name its type.
        EventType = "event_type",
        /// Its app carries the label F2S_DISABLE_LOGGING=true.
        AppMuted = "app_muted",
        /// It holds no message at all (v2 envelopes may).
        NoMessage = "no_message",
        /// It is a gauge without a metric.
        EmptyGauge = "empty_gauge",
        /// It is a log line of the nozzle itself, of which too many come back.
        OwnLines = "own_lines",
    }
}

reasons! {
    /// Why an envelope was lost.
    Drop {
        /// The queue of raw frames was full: the workers cannot keep up.
        QueueFull = "queue_full",
        /// The delivery pool was full: HEC cannot keep up, or is away.
        DeliveryFull = "delivery_full",
        /// Its events were larger than HEC_MAX_EVENT_BYTES, and HEC_OVERSIZE is `drop`.
        Oversize = "oversize",
        /// HEC_RETRIES attempts failed.
        RetriesExhausted = "retries_exhausted",
        /// SHUTDOWN_TIMEOUT ran out before it could be delivered.
        Shutdown = "shutdown",
        /// The disk spool was full: the oldest made room.
        SpoolFull = "spool_full",
        /// It was damaged in the disk spool, or could not be read from there.
        SpoolDamaged = "spool_damaged",
        /// It was in the disk spool of a container at its end, and that disk dies with the container.
        EphemeralDisk = "ephemeral_disk",
        /// The part of the program that held it failed.
        Defect = "defect",
    }
}

reasons! {
    /// What was wrong with bytes that are not an envelope.
    Malformed {
        /// The frame or a field in it ends too early.
        Truncated = "truncated",
        /// A field has a wire type, in JSON a type, its definition does not allow.
        WireType = "wire_type",
        /// A number runs over its size, or a field number is zero.
        Number = "number",
        /// A required field is missing (v1).
        MissingField = "missing_field",
        /// The envelope's event type is unknown (v1).
        EventType = "event_type",
        /// A frame as a whole: a line too long to be read, or text that has to be UTF-8 and is not,
        /// where nothing can stand for it.
        Frame = "frame",
        /// It is no correct JSON (gateway).
        Json = "json",
        /// A log line is not in base64 (gateway).
        Base64 = "base64",
    }
}
