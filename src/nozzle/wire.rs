//! Reads frames in place: what can be borrowed is neither allocated nor copied.
//!
//! [`reader`] knows protobuf's wire format, [`v2`] and [`v1`] the two envelope types, [`gateway`] the
//! JSON form of v2. They borrow from the frame and hand out byte slices; text is checked when it is
//! written, except where JSON has to be checked first. Every malformed byte is an error that names its
//! kind and costs that envelope only.

pub mod deprecated;
pub mod gateway;
pub mod reader;
pub mod tags;
pub mod v1;
pub mod v2;
