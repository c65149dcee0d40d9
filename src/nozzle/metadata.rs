//! What is known about apps: names, index, muting.
