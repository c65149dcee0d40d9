//! Quantities as people write them: sizes and durations.
