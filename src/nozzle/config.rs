//! Settings: read once at start, parsed into types, all faults reported together.
