//! A faithful, scriptable HEC server.
