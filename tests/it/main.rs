//! Tests of the whole, and of stages against recorded data. One binary: one link.

mod golden;
mod golden_events;
mod golden_frames;
