//! A simulated foundation: UAA, Cloud Controller, RLP over gRPC, v1 traffic controller.
