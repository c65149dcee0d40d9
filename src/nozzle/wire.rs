//! Reads protobuf frames in place: nothing is allocated, nothing is copied.
//!
//! [`reader`] knows the wire format, [`v2`] and [`v1`] the two envelope types. They borrow from
//! the frame and hand out byte slices; text is checked when it is written, not here. Every
//! malformed byte is an error that names its kind and costs that envelope only.

pub mod deprecated;
pub mod reader;
pub mod tags;
pub mod v1;
pub mod v2;
