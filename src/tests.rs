//! What tests of several places have in common.

pub(crate) mod reference;
