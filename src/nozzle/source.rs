//! Readers: they move frames from Loggregator into the queue and never wait for anything else.
