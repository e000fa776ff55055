//! STUN and TURN server state machine without I/O.
