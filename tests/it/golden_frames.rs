//! Recorded frames of the real platform.
