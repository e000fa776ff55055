//! Forwarding machine without I/O.
