//! Settings: read once at start, parsed into types, all faults reported together.

pub mod flags;
pub mod settings;
