//! The Cloud Foundry API: where things are, and the token that opens them.
